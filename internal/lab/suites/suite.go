package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed testdata
var hooks embed.FS

const ownModule = "github.com/pgcoherence/pgcoherence"

// suite is the test suite of another module.
type suite struct {
	module  string
	hook    string            // the file in testdata that creates our stores for the suite
	patches map[string]string // replacements by file and text, each of which occurs exactly once
	differs map[string]string // tests that fail by design, with the reason
}

var suites = []suite{
	{
		module: "github.com/alexedwards/scs/v2",
		hook:   "scs_hook_test.go.txt",
		patches: map[string]string{
			"session.go\x00\t\t\tPersist:     true,\n\t\t},\n\t}\n\treturn s\n}": "\t\t\tPersist:     true,\n\t\t},\n\t}\n\tif UseStore != nil {\n\t\tUseStore(s)\n\t}\n\treturn s\n}\n\n" +
				"// UseStore gives a new manager its store.\nvar UseStore func(*SessionManager)\n",
		},
		differs: map[string]string{},
	},
	{
		module: "github.com/gorilla/sessions",
		hook:   "gorilla_hook_test.go.txt",
		patches: map[string]string{
			"store.go\x00func (s *CookieStore) New(r *http.Request, name string) (*Session, error) {\n": "" +
				"// UseStore returns the store that takes the place of one.\nvar UseStore func(Store, *Options) Store\n\n" +
				"func (s *CookieStore) New(r *http.Request, name string) (*Session, error) {\n\tif UseStore != nil {\n\t\treturn UseStore(s, s.Options).New(r, name)\n\t}\n",
			"store.go\x00func (s *CookieStore) Save(r *http.Request, w http.ResponseWriter,\n\tsession *Session) error {\n": "" +
				"func (s *CookieStore) Save(r *http.Request, w http.ResponseWriter,\n\tsession *Session) error {\n\tif UseStore != nil {\n\t\treturn UseStore(s, s.Options).Save(r, w, session)\n\t}\n",
			"store.go\x00func (s *FilesystemStore) New(r *http.Request, name string) (*Session, error) {\n": "" +
				"func (s *FilesystemStore) New(r *http.Request, name string) (*Session, error) {\n\tif UseStore != nil {\n\t\treturn UseStore(s, s.Options).New(r, name)\n\t}\n",
			"store.go\x00func (s *FilesystemStore) Save(r *http.Request, w http.ResponseWriter,\n\tsession *Session) error {\n": "" +
				"func (s *FilesystemStore) Save(r *http.Request, w http.ResponseWriter,\n\tsession *Session) error {\n\tif UseStore != nil {\n\t\treturn UseStore(s, s.Options).Save(r, w, session)\n\t}\n",
		},
		differs: map[string]string{
			"TestGH2MaxLength": "the limit is Sessions.MaxData, 64 KiB, and not a setting of gorilla's own store",
		},
	},
}

// run copies, patches and runs the tests.
func (s *suite) run(ctx context.Context, dsn string) (err error) {
	dir, err := os.MkdirTemp("", "pgcoherence-suite-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	version, err := s.prepare(ctx, dir)
	if err != nil {
		return err
	}

	out, runErr := s.test(ctx, dir, dsn, ".")
	passed, failed, log := results(out)
	if passed+len(failed) == 0 {
		return fmt.Errorf("no test has run: %w\n%s", runErr, out)
	}
	for _, name := range failed {
		if _, decided := s.differs[name]; decided {
			continue
		}
		// The suites sleep for the lifetime of a session, 0.2 s. On a busy machine that fails if all tests run at once.
		for try := 1; try <= maxTries; try++ {
			out, _ := s.test(ctx, dir, dsn, "^"+name+"$")
			if again, stillFailed, _ := results(out); again == 1 && len(stillFailed) == 0 {
				fmt.Printf("%s: %s passes alone, on attempt %d\n", s.module, name, try)
				passed++
				failed = slices.DeleteFunc(slices.Clone(failed), func(n string) bool { return n == name })
				break
			}
		}
	}

	var wrong []string
	fmt.Printf("%s %s: %d of %d tests pass on our store\n", s.module, version, passed, passed+len(failed))
	for _, name := range failed {
		reason, decided := s.differs[name]
		if !decided {
			wrong = append(wrong, name+" fails:\n"+log[name])
			continue
		}
		fmt.Printf("   %s differs: %s\n", name, reason)
	}
	for name := range s.differs {
		if !slices.Contains(failed, name) {
			wrong = append(wrong, name+" is listed as different, but passes")
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

// maxTries is how often a failed test is run again, alone.
const maxTries = 3

// test runs the tests whose names match, and returns what go test -json writes.
func (s *suite) test(ctx context.Context, dir, dsn, match string) ([]byte, error) {
	test := exec.CommandContext(ctx, "go", "test", "-mod=mod", "-vet=off", "-count=1", "-json", "-run", match, ".")
	test.Dir, test.Stderr = dir, os.Stderr
	test.Env = append(os.Environ(), "PGCOHERENCE_SUITE_DSN="+dsn, "GOFLAGS=", "GOWORK=off")
	return test.Output()
}

// prepare makes the patched copy. It is the main module of the run, so our packages are built with it.
func (s *suite) prepare(ctx context.Context, dir string) (version string, err error) {
	var found struct{ Dir, Version string }
	list := exec.CommandContext(ctx, "go", "list", "-m", "-json", s.module)
	out, err := list.Output()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	if err := os.CopyFS(dir, os.DirFS(found.Dir)); err != nil {
		return "", err
	}
	if err := makeWritable(dir); err != nil {
		return "", err
	}

	for at, replacement := range s.patches {
		file, text, _ := strings.Cut(at, "\x00")
		if err := patch(filepath.Join(dir, file), text, replacement); err != nil {
			return "", err
		}
	}
	hook, err := hooks.ReadFile("testdata/" + s.hook)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "own_store_test.go"), hook, 0o600); err != nil {
		return "", err
	}
	return found.Version, s.writeModule(ctx, dir)
}

// writeModule writes a go.mod with the versions of ours, and with this library from its directory.
func (s *suite) writeModule(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", ownModule).Output()
	if err != nil {
		return fmt.Errorf("find own module: %w", err)
	}

	root := strings.TrimSpace(string(out))
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}

	lines := strings.Split(string(text), "\n")
	lines[0] = "module " + s.module
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), s.module+" ") })
	lines = append(lines, "require "+ownModule+" v0.0.0", "replace "+ownModule+" => "+root, "")
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		return err
	}

	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600)
}

// makeWritable makes the copy of the read-only module cache writable.
func makeWritable(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}

// patch replaces a text that occurs exactly once. It returns an error for a version of the module with a different text.
func patch(file, text, replacement string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if n := bytes.Count(content, []byte(text)); n != 1 {
		return fmt.Errorf("%s: the text to patch occurs %d times: %q", filepath.Base(file), n, text)
	}
	return os.WriteFile(file, bytes.Replace(content, []byte(text), []byte(replacement), 1), 0o600)
}

// results parses the output of go test -json, for top-level tests and examples.
func results(out []byte) (passed int, failed []string, log map[string]string) {
	log = map[string]string{}
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue
		}

		name, _, sub := strings.Cut(e.Test, "/")
		switch {
		case e.Action == "output":
			log[name] += e.Output
		case sub:
		case e.Action == "pass":
			passed++
		case e.Action == "fail":
			failed = append(failed, name)
		}
	}

	return passed, failed, log
}
