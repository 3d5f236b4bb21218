"""Built-in studies, one TOML file each."""
