"""Generations on disk: their folders, records, index and ledger."""
