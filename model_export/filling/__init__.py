"""A catalogue's missing attributes, filled with what its products' titles and descriptions state."""
