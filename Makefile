# Names that fingers know; all of it is ./hubctl, which needs no make.
.PHONY: run test lint chaos bench

run:
	./hubctl up

test lint chaos bench:
	./hubctl $@
