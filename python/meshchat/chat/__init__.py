"""The console chat: session (the language), lines (input), plain and tui (the two faces), run (what joins them)."""
