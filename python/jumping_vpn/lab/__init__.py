"""Networks of namespaces with faults to order: where the product meets a real kernel."""
