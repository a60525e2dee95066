"""What a collection is: its vectors and encoders, its payload, its filters, its tenants."""
