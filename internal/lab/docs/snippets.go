package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// DefaultPreamble is the preamble of Go blocks that name none.
const DefaultPreamble = "default"

// unused matches compiler errors that a part of a program may have, but a whole program may not.
var unused = regexp.MustCompile(`declared and not used|imported (?:as \w+ )?and not used`)

// CheckGo compiles the Go blocks of pages, in the module of a directory that has testdata/preamble.
func CheckGo(ctx context.Context, directory string, pages []*Page) ([]Problem, error) {
	check := goCheck{directory: directory, files: token.NewFileSet(), imports: map[string]bool{}}
	for _, page := range pages {
		for _, block := range page.Blocks {
			if block.Language == "go" {
				check.parse(page.Path, block)
			}
		}
	}

	if len(check.snippets) == 0 {
		return check.problems, nil
	}

	exports, err := exportData(ctx, directory, slices.Sorted(maps.Keys(check.imports)))
	if err != nil {
		return nil, err
	}

	check.compile(exports)
	return check.problems, nil
}

// goCheck compiles blocks together, so that their imports are loaded once.
type goCheck struct {
	directory string
	files     *token.FileSet
	imports   map[string]bool
	snippets  []snippet
	problems  []Problem
}

// snippet is a block with its preamble, as a file.
type snippet struct {
	page  string
	block Block
	file  *ast.File
	whole bool // the block was a whole file
}

func (c *goCheck) parse(page string, block Block) {
	program, whole, err := wrap(c.directory, page, block)
	var file *ast.File
	if err == nil {
		file, err = parser.ParseFile(c.files, "", program, parser.SkipObjectResolution)
	}

	if err != nil {
		c.problems = append(c.problems, Problem{page, block.Line, "Go does not parse: " + err.Error()})
		return
	}

	for _, spec := range file.Imports {
		// The parser has accepted the path as a string.
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			c.imports[path] = true
		}
	}

	c.snippets = append(c.snippets, snippet{page, block, file, whole})
}

func (c *goCheck) compile(exports map[string]string) {
	imports := importer.ForCompiler(c.files, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no package %s", path)
		}
		return os.Open(exports[path])
	})
	for _, s := range c.snippets {
		config := types.Config{Importer: imports, Sizes: types.SizesFor("gc", runtime.GOARCH), Error: func(err error) {
			var e types.Error
			if !errors.As(err, &e) || !s.whole && unused.MatchString(e.Msg) {
				return
			}
			c.problems = append(c.problems, Problem{s.page, c.files.Position(e.Pos).Line, "Go does not compile: " + e.Msg})
		}}
		// The Error function above has collected all errors.
		_, _ = config.Check("snippet", c.files, []*ast.File{s.file}, nil)
	}
}

// exportData returns the files with the export data of packages and of their dependencies.
func exportData(ctx context.Context, directory string, paths []string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export", "--"}, paths...)...)
	cmd.Dir = directory
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("docs: go list: %w", err)
	}

	exports := map[string]string{}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var pkg struct{ ImportPath, Export string }
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return exports, nil
		}
		if err != nil {
			return nil, err
		}

		exports[pkg.ImportPath] = pkg.Export
	}
}

// wrap makes a file of a block, and reports whether the block was a whole file. Positions are those of the page.
func wrap(directory, page string, block Block) (program string, whole bool, err error) {
	position := fmt.Sprintf("//line %s:%d\n", page, block.Line)
	if parses(block.Text) {
		return position + block.Text, true, nil
	}
	if strings.HasPrefix(block.Text, "import") && parses("package p\n"+block.Text) {
		return "package snippet\n" + position + block.Text, false, nil
	}

	name, ok := block.Mark("preamble")
	if !ok {
		name = DefaultPreamble
	}
	preamble, err := os.ReadFile(filepath.Join(directory, "testdata", "preamble", name+".go"))
	if err != nil {
		return "", false, fmt.Errorf("there is no preamble %q", name)
	}
	if parses("package p\n" + block.Text) {
		return string(preamble) + "\n" + position + block.Text, false, nil
	}
	return string(preamble) + "\nfunc _(ctx context.Context) (err error) {\n{\n" + position + block.Text + "\n}\nreturn\n}\n", false, nil
}

func parses(source string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	return err == nil
}
