"""What is handed out: the wheel, the source archive, the entries for registries and installers."""
