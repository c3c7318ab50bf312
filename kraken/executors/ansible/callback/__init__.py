"""Where ansible-playbook finds Kraken's callback plugin; each file here is one to it. Nobody imports it."""
