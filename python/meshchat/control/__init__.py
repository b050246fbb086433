"""Questions to a node that runs in another process: protocol, server (in the node's process), client (in the tools')."""
