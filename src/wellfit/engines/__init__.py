"""What trains members: the contract (`base`), the engines behind it, and the suite that holds them to it."""
