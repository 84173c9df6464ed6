"""The graph: cells and nodes, declarations of ops, the walks over the graph, and the modes."""
