package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"
)

// Repository is the set of the project's files, without those that git ignores.
type Repository struct {
	Root  string
	files map[string]bool // files and directories, from the root
	order []string        // the files

	sources func() string // all that is not Markdown
	names   func() *nameIndex
}

// metricsPage is written by a test from what the collectors export, so it counts as a source.
const metricsPage = "examples/monitoring/metrics.md"

// Open reads the list of files of a repository.
func Open(ctx context.Context, root string) (*Repository, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	list := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("docs: git ls-files: %w", err)
	}

	r := &Repository{Root: root, files: map[string]bool{".": true}}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSuffix(name, "\n")
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			continue // deleted, and not yet committed
		}
		r.order = append(r.order, name)
		for part := name; part != "."; part = path.Dir(part) {
			r.files[part] = true
		}
	}
	r.sources = sync.OnceValue(r.readSources)
	r.names = sync.OnceValue(func() *nameIndex { return indexNames(r) })
	return r, nil
}

// Has reports whether there is a file or directory.
func (r *Repository) Has(name string) bool { return r.files[path.Clean(name)] }

// Glob reports whether any file matches a pattern.
func (r *Repository) Glob(pattern string) bool {
	for name := range r.files {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// Read returns a file's content.
func (r *Repository) Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.Root, name))
}

// Pages parses all Markdown pages, except those under testdata.
func (r *Repository) Pages() ([]*Page, error) {
	var pages []*Page
	for _, name := range r.order {
		if path.Ext(name) != ".md" || strings.Contains(name, "testdata/") {
			continue
		}
		source, err := r.Read(name)
		if err != nil {
			return nil, err
		}
		pages = append(pages, Parse(name, source))
	}
	return pages, nil
}

// Mentions reports whether a word is anywhere in the files that are not Markdown.
func (r *Repository) Mentions(word string) bool { return strings.Contains(r.sources(), word) }

func (r *Repository) readSources() string {
	var all strings.Builder
	for _, name := range r.order {
		if path.Ext(name) == ".md" && name != metricsPage || strings.HasPrefix(name, "internal/lab/docs/") {
			continue
		}
		content, err := r.Read(name)
		if err != nil || !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
			continue
		}
		all.Write(content)
		all.WriteByte('\n')
	}
	return all.String()
}
