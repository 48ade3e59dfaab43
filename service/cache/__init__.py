"""What is known of (query, attribute) pairs, kept in process and in Redis."""
