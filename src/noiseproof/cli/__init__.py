"""The command line; grows one module a group of commands."""
