"""The command line: `app` ties it together, one module a group of commands."""

from noiseproof.cli.app import main as main
