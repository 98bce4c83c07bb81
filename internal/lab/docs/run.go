package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"
)

// Runner checks blocks that are not Go.
type Runner struct {
	DSN      string   // of the page's own database; "" only parses blocks
	Env      []string // of shell blocks, with the address of the database
	Dir      string   // where shell blocks run
	Commands *Commands
	Timeout  time.Duration // of one block
	Absent   []string      // programs that are not on this machine: blocks that need one are only parsed
}

// Check checks the blocks of a page in their order.
func (r *Runner) Check(ctx context.Context, page *Page) []Problem {
	var problems []Problem
	for _, block := range page.Blocks {
		ctx, cancel := context.WithTimeout(ctx, r.Timeout)
		err := r.check(ctx, block)
		cancel()
		if err != nil {
			problems = append(problems, Problem{page.Path, block.Line, err.Error()})
		}
	}
	return problems
}

func (r *Runner) check(ctx context.Context, block Block) error {
	switch block.Language {
	case "go", "text", "mermaid", "promql": // promql is collected for promtool
		return nil
	case "sql":
		return r.expect(block, func() error { return r.runSQL(ctx, block.Text) })
	case "sh":
		return r.checkShell(ctx, block)
	case "yaml":
		return parseYAML(block.Text)
	case "json":
		if !json.Valid([]byte(block.Text)) {
			return errors.New("JSON does not parse")
		}
		return nil
	case "python":
		return command(ctx, strings.NewReader(block.Text), "python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())")
	case "":
		return nil
	default:
		return fmt.Errorf("no check for blocks of %q", block.Language)
	}
}

// expect runs a block, unless its marks say otherwise.
func (r *Runner) expect(block Block, run func() error) error {
	if reason, ok := block.Mark("not run"); ok {
		if reason == "" {
			return errors.New("block is not run, but gives no reason")
		}
		return nil
	}

	if r.DSN == "" {
		return nil
	}

	err := run()
	if _, fails := block.Mark("fails"); fails {
		if err == nil {
			return errors.New("block should fail, but does not")
		}
		return nil
	}

	return err
}

func (r *Runner) runSQL(ctx context.Context, statements string) error {
	conn, err := pgx.Connect(ctx, r.DSN)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err = conn.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		return fmt.Errorf("SQL fails: %w", err)
	}
	return nil
}

func (r *Runner) checkShell(ctx context.Context, block Block) error {
	if err := command(ctx, strings.NewReader(block.Text), "bash", "-n"); err != nil {
		return fmt.Errorf("shell does not parse: %w", err)
	}

	if r.Commands != nil {
		for line := range strings.Lines(strings.ReplaceAll(block.Text, "\\\n", " ")) {
			code, _, _ := strings.Cut(line, " # ")
			if strings.HasPrefix(code, "#") {
				continue
			}
			if text := r.Commands.Check(strings.TrimSpace(code)); text != "" {
				return errors.New(text)
			}
		}
	}

	for _, program := range r.Absent {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(program) + `\b`).MatchString(block.Text) {
			return nil
		}
	}

	return r.expect(block, func() error {
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block.Text)
		cmd.Env, cmd.Dir, cmd.WaitDelay = r.Env, r.Dir, time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("shell fails: %w\n%s", err, out)
		}
		return nil
	})
}

func parseYAML(text string) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("YAML does not parse: %w", err)
		}
	}
}

func command(ctx context.Context, input io.Reader, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = input
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Rules returns a file of recording rules for promtool: one rule for each line of PromQL on pages that is not a comment.
func Rules(pages []*Page) []byte {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}

	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}

	var rules []rule
	for _, page := range pages {
		for _, block := range page.Blocks {
			if block.Language != "promql" {
				continue
			}
			for line := range strings.Lines(block.Text) {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
					rules = append(rules, rule{Record: fmt.Sprintf("docs:line_%d", len(rules)), Expr: line})
				}
			}
		}
	}

	if len(rules) == 0 {
		return nil
	}

	// Strings and slices can always be marshalled.
	out, _ := yaml.Marshal(map[string]any{"groups": []group{{Name: "docs", Rules: rules}}})
	return out
}
