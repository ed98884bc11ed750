"""Where users already train: adapters, each importing its framework only when it is used."""
