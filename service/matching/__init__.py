"""How well a product's value agrees with the value that a query wants: pure arithmetic on texts and numbers."""
