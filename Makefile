# make lab        set up and open JupyterLab at the start of the course
# make test       set up and run every test, the notebooks among them
# make lessons    build lessons/*.ipynb from course/*.md
# make handout    the lessons without hints, solutions and outcomes, into handout/, with sheets to print
# make site       the course to read in a browser without a kernel, into site/
# make slides     the lessons as slides, into slides/; no script comes from elsewhere
# make address    set where the course is public, once: URL=https://github.com/OWNER/REPOSITORY
# make test-colab every notebook with the versions that Colab has, and two in the classic front end
# make package    wheel and sdist into dist/, installed and tried in an empty folder
# make verdicts   does a lesson say the same with other seeds?  LESSON=05 SEEDS=20
# make bench      speed and size, beside other libraries
# make record     measure again what ships in tutorlib/recorded/

VENV := .venv
BIN := $(VENV)/bin
START := $(firstword $(sort $(wildcard lessons/*.ipynb)))
LESSON := 01
SEEDS := 20
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c '$(FITS)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

# install EXTRAS INTO-STAMP: pip's own words go to a file, the learner gets one sentence. Compiled on every core, for pip
# alone takes as long to compile as to unpack; and not left to the first import, which may not be allowed to write.
define install
@echo "Installing $(1) (1.5 GB the first time, 6 GB where CUDA comes along, one to five minutes; details in $(VENV)/install.log) ..."
@$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[$(1)]" >$(VENV)/install.log 2>&1 || { \
	echo "Could not install. pip said:"; grep ERROR $(VENV)/install.log | head -n 3; \
	echo "If that speaks of a connection or of space: this needs the package index and 6 GB, then run make again. Else see $(VENV)/install.log."; exit 1; }
@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib tutorlib >>$(VENV)/install.log 2>&1 || true
@touch $@
endef

.PHONY: lab test lessons handout slides site address verdicts bench record clean

lab: $(VENV)/lab
	@echo "Opening $(START). If no browser opens, copy the address that starts with http://localhost below."
	@$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) \
		$$([ "$$(uname)" = Darwin ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || echo --no-browser) --LabApp.default_url=/lab/tree/$(START) $(LAB)

# What takes longest comes first. A third process would gain nothing: studies use both cores while a browser waits.
test: $(VENV)/test
	@$(BIN)/python -m pytest $(or $(ARGS),tests/browser lessons tests -n 2 --dist loadfile --no-loadscope-reorder)

lessons: $(VENV)/test
	@$(BIN)/python course/build.py

handout: $(VENV)/lab
	@rm -rf handout
	@$(BIN)/python -m nbconvert --log-level WARN --config course/handout.py --output-dir handout lessons/*.ipynb
	@$(BIN)/python course/sheets.py handout

REVEAL = $$($(BIN)/python -c 'import sphinx_revealjs; print(sphinx_revealjs.__path__[0])')/_static/revealjs
slides: $(VENV)/test
	@rm -rf slides
	@$(BIN)/python -m nbconvert --log-level ERROR --config course/slides/config.py --output-dir slides lessons/*.ipynb
	@cp -R "$(REVEAL)" slides/reveal

site: $(VENV)/test
	@$(BIN)/python course/pages.py

address: $(VENV)/test
	@$(BIN)/python course/address.py "$(URL)"

# As the cell for Colab installs it: the course alone, into an environment that has its own torch and widgets.
COLAB := $(VENV)-colab
test-colab: $(COLAB)/ready
	@$(COLAB)/bin/python -m pip wheel -q --no-deps -w $(COLAB)/wheel .
	@$(COLAB)/bin/python -m pip install -q --no-deps --force-reinstall $(COLAB)/wheel/tutorlib-*.whl "mnist1d>=0.0.2.post1"
	@$(COLAB)/bin/python -m pytest lessons
	@$(COLAB)/bin/python -m pytest tests/browser/test_classic.py

$(COLAB)/ready: tests/colab.txt | $(VENV)/bin/python
	@rm -rf $(COLAB) && $(PYTHON) -m venv $(COLAB) && $(COLAB)/bin/python -m pip install -q -r tests/colab.txt && touch $@

# The sdist makes the wheel; a lesson out of the sdist runs with the wheel, where nothing else of the repository is.
package: $(VENV)/test
	@rm -rf dist && $(BIN)/python -m build -o dist . >$(VENV)/build.log 2>&1 || { tail -n 3 $(VENV)/build.log; exit 1; }
	@trial=$$(mktemp -d) && tar xzf dist/tutorlib-*.tar.gz --strip-components=1 -C $$trial --wildcards '*/lessons' \
		&& $(BIN)/python -m pip install -q --no-deps --target $$trial/course dist/tutorlib-*.whl \
		&& lesson=$$(basename $(START)) && cd $$trial/lessons && PYTHONPATH=$$trial/course TUTORLIB_CACHE=$$trial/cache \
			$(CURDIR)/$(BIN)/python -m nbconvert --log-level WARN --to notebook --execute --output-dir $$trial/run $$lesson \
		&& echo "$$(cd $(CURDIR)/dist && ls) : installed, and $$lesson ran" && rm -rf $$trial

verdicts: $(VENV)/lab
	@$(BIN)/python -m tutorlib verdicts --lesson $(LESSON) --seeds $(SEEDS)

record: $(VENV)/lab
	@$(BIN)/python -m tutorlib record

bench: $(VENV)/test
	@$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[bench]"
	@$(BIN)/python -m pip install -q --no-deps backpack-for-pytorch curvlinops-for-pytorch  # their torchvision would replace torch
	@$(BIN)/python tests/bench/run.py --json bench.json

clean:
	rm -rf $(VENV) $(VENV)-colab handout slides site dist .pytest_cache *.egg-info

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c '$(FITS)' 2>/dev/null || { \
		echo "This course needs Python 3.11, 3.12 or 3.13 and found $(if $(PYTHON),$(PYTHON),none of them on the PATH): install one and run make again."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment: on Debian or Ubuntu, install python3-venv and run make again."; rm -rf $(VENV); exit 1; }

$(VENV)/lab: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,lab)

$(VENV)/test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,dev$(comma)browser$(comma)site)

comma := ,
