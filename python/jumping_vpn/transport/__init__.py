"""Ways to reach a gateway: which exist at this moment, and what the kernel says about them."""
