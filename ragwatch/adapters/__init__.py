"""Other libraries: Redis as a store that breakers share, and observers of pybreaker, tenacity and stamina."""
