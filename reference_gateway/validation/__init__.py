"""Request validation: tables of field rules, and one validator per family and surface. Nothing here does I/O."""
