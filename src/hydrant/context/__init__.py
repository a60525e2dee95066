"""From hits to what a language model reads: a text within its budget, cited, and the sentences that answer."""
