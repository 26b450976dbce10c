//! What touches the kernel: TUN, UDP sockets, the event loop, and the lab's link element.
