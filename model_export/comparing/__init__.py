"""Two bundles side by side on the same requests, before one takes the other's place."""
