package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/docs"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m).Run()
	if built.directory != "" {
		_ = os.RemoveAll(built.directory)
	}
	os.Exit(code)
}

// TestLinks: every relative link leads to a file, every anchor to a heading, and every page of docs can be found.
func TestLinks(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	require.Empty(t, list(docs.CheckLinks(r, pages)))
	require.Empty(t, list(docs.CheckReach(pages, "docs")))
}

// TestTables: every row of a table has as many cells as its header.
func TestTables(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	var problems []docs.Problem
	for _, page := range pages {
		source, err := r.Read(page.Path)
		require.NoError(t, err)
		problems = append(problems, docs.CheckTables(page.Path, source)...)
	}
	require.Empty(t, list(problems))
}

// TestDefaults: the defaults that docs/operations.md lists are those of the code.
func TestDefaults(t *testing.T) {
	t.Parallel()
	r, _ := open(t)
	page, err := r.Read("docs/operations.md")
	require.NoError(t, err)
	for field, value := range map[string]any{
		"StaleAfter": bus.DefaultStaleAfter, "BeatInterval": bus.DefaultBeatInterval, "SweepInterval": bus.DefaultSweepInterval,
		"PollInterval": bus.DefaultPollInterval, "Retention": bus.DefaultRetention, "ConnectTimeout": bus.DefaultConnectTimeout,
		"MaxBackoff": bus.DefaultMaxBackoff, "MaxKeys": bus.DefaultMaxKeys, "MaxCatchUp": bus.DefaultMaxCatchUp,
	} {
		require.Contains(t, string(page), fmt.Sprintf("| `%s` | %v |", field, value))
	}
}

// TestGo: every block of Go compiles, wherever the page is.
func TestGo(t *testing.T) {
	t.Parallel()
	_, pages := open(t)
	problems, err := docs.CheckGo(t.Context(), ".", current(pages))
	require.NoError(t, err)
	require.Empty(t, list(problems))
}

// TestBlocks: SQL and shell run, in the order of the page and on a database of its own; the rest parses.
func TestBlocks(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	commands, directory := program(t, r)
	for _, page := range manual(pages) {
		t.Run(page.Path, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, list(runner(t, commands, directory).Check(t.Context(), page)))
		})
	}
}

// TestGettingStarted: the program of docs/getting-started.md does what the page says, on two pods.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	r, _ := open(t)
	source, err := r.Read("docs/getting-started.md")
	require.NoError(t, err)
	blocks := docs.Parse("docs/getting-started.md", source).Blocks
	whole := slices.IndexFunc(blocks, func(b docs.Block) bool { return strings.HasPrefix(b.Text, "package main") })
	require.GreaterOrEqual(t, whole, 0, "the page has no program")

	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "main.go"), []byte(blocks[whole].Text), 0o600))
	program := filepath.Join(directory, "hello")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, filepath.Join(directory, "main.go")).CombinedOutput()
	require.NoError(t, err, "%s", out)

	dsn := pgtest.New(t, &pgtest.Template{Name: "hello", Make: func(ctx context.Context, dsn string) error {
		return execute(ctx, dsn, "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL); INSERT INTO users VALUES (42, 'Ada')")
	}}).DSN
	start := func(address string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn, "ADDR="+address)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		return cmd
	}
	require.NoError(t, start("", "migrate").Wait())
	pods := map[string]*exec.Cmd{}
	for range 2 {
		address := freeAddress(t)
		pods[address] = start(address)
	}
	for address := range pods {
		require.Eventually(t, func() bool { return read(t, address) == "Ada" }, time.Minute, 20*time.Millisecond, address)
	}

	addresses := slices.Collect(maps.Keys(pods))
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addresses[0]+"/users/42?name=Lovelace", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(put)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "Lovelace", read(t, addresses[0]), "the pod that wrote reads its own write")
	require.Eventually(t, func() bool { return read(t, addresses[1]) == "Lovelace" }, time.Minute, 10*time.Millisecond)

	require.NoError(t, execute(t.Context(), dsn,
		"BEGIN; UPDATE users SET name = 'Countess' WHERE id = 42; SELECT pgcoherence.invalidate('users', '42'); COMMIT"))
	for address := range pods {
		require.Eventually(t, func() bool { return read(t, address) == "Countess" }, time.Minute, 10*time.Millisecond)
	}
	for _, pod := range pods {
		require.NoError(t, pod.Process.Signal(os.Interrupt))
		require.NoError(t, pod.Wait(), "it ends in order")
	}
}

// TestPromQL: Prometheus can read every line of PromQL.
func TestPromQL(t *testing.T) {
	t.Parallel()
	_, pages := open(t)
	require.NoError(t, promtool(t, docs.Rules(manual(pages))))
}

// TestNames: what pages name in code type exists, wherever the page is.
func TestNames(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	commands, _ := program(t, r)
	words := foreign(t)
	var problems []docs.Problem
	for _, page := range current(pages) {
		problems = append(problems, docs.CheckSpans(r, commands, words, page)...)
	}
	require.Empty(t, list(problems))
}

// TestWords: docs use the words of their own glossary.
func TestWords(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	glossary, err := r.Read("docs/glossary.md")
	require.NoError(t, err)
	words := docs.ListedWords(glossary)
	require.Greater(t, len(words), 10, "the glossary's list is not found")
	var problems []docs.Problem
	for _, page := range manual(pages) {
		if page.Path != "docs/glossary.md" {
			problems = append(problems, docs.CheckWords(page, words)...)
		}
	}
	require.Empty(t, list(problems))
}

// TestImages: every SVG file of docs is valid, and some page shows it.
func TestImages(t *testing.T) {
	t.Parallel()
	_, pages := open(t)
	shown := map[string]bool{}
	for _, page := range pages {
		for _, link := range page.Links {
			shown[path.Join(path.Dir(page.Path), link.Target)] = true
		}
	}

	files, err := filepath.Glob("../../../docs/images/*.svg")
	require.NoError(t, err)
	require.NotEmpty(t, files)

	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, docs.CheckSVG(content), file)
		require.True(t, shown["docs/images/"+filepath.Base(file)], "no page shows %s", file)
	}
}

func open(t *testing.T) (*docs.Repository, []*docs.Page) {
	t.Helper()
	r, err := docs.Open(t.Context(), "../../..")
	require.NoError(t, err)
	pages, err := r.Pages()
	require.NoError(t, err)
	require.Greater(t, len(manual(pages)), 10)
	return r, pages
}

// manual returns the pages under docs.
func manual(pages []*docs.Page) []*docs.Page {
	var under []*docs.Page
	for _, page := range pages {
		if strings.HasPrefix(page.Path, "docs/") {
			under = append(under, page)
		}
	}
	return under
}

// current returns all pages but the changelog, which describes the past.
func current(pages []*docs.Page) []*docs.Page {
	return slices.DeleteFunc(slices.Clone(pages), func(page *docs.Page) bool { return page.Path == "CHANGELOG.md" })
}

// list formats problems, one per line, for the message of a failed test.
func list(problems []docs.Problem) string {
	var b strings.Builder
	for _, problem := range problems {
		b.WriteString("\n" + problem.String())
	}
	return b.String()
}

// foreign reads the names of other projects.
func foreign(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile("testdata/foreign.txt")
	require.NoError(t, err)
	words := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " #"); word != "" && !strings.HasPrefix(word, "#") {
			words[strings.TrimSpace(word)] = true
		}
	}
	return words
}

var built struct {
	sync.Once
	directory string
	err       error
}

// program builds the command line once, and returns its directory.
func program(t *testing.T, r *docs.Repository) (*docs.Commands, string) {
	t.Helper()

	built.Do(func() {
		//nolint:usetesting // all tests of this binary share it; TestMain removes it
		if built.directory, built.err = os.MkdirTemp("", "pgcoherence-docs"); built.err != nil {
			return
		}

		build := exec.Command("go", "build", "-C", "../../../cmd/pgcoherence", "-o", filepath.Join(built.directory, "pgcoherence"), ".")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = err
			t.Log(string(out))
		}
	})

	require.NoError(t, built.err)
	return docs.NewCommands(context.Background(), r, filepath.Join(built.directory, "pgcoherence")), built.directory
}

// runner makes a Runner with a database of its own, which has all tables of the library and those of testdata/tables.sql.
func runner(t *testing.T, commands *docs.Commands, directory string) *docs.Runner {
	t.Helper()
	db := pgtest.New(t, &pgtest.Template{Name: "docs", Make: makeTables})
	return &docs.Runner{
		Absent: absent(t, "psql"), DSN: db.DSN, Commands: commands, Timeout: time.Minute, Dir: t.TempDir(),
		Env: append(os.Environ(),
			"PATH="+directory+":"+os.Getenv("PATH"), "DATABASE_URL="+db.DSN, "PGCOHERENCE_DATABASE_URL="+db.DSN, "NO_COLOR=1"),
	}
}

// execute runs statements on a connection of their own.
func execute(ctx context.Context, dsn, statements string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

// freeAddress returns an address that nothing listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// read returns what a pod serves for user 42, "" if it does not.
func read(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/users/42", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return strings.TrimSpace(string(body))
}

// absent returns the programs that are not on this machine. It logs them, and fails the test in CI.
func absent(t *testing.T, programs ...string) []string {
	t.Helper()
	return slices.DeleteFunc(programs, func(program string) bool {
		_, err := exec.LookPath(program)
		if err == nil {
			return true
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not on this machine, and CI has to test with it", program)
		}
		t.Logf("*** NOT TESTED: blocks that need %s (Debian: apt-get install postgresql-client)", program)
		return false
	})
}

func makeTables(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := tables.Make(ctx, pool); err != nil {
		return err
	}

	more, err := os.ReadFile("testdata/tables.sql")
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, string(more))

	return err
}

// promtool checks rules. Where it is not installed the test is skipped, and fails in CI.
func promtool(t *testing.T, rules []byte) error {
	t.Helper()
	require.NotEmpty(t, rules, "no PromQL found")
	name, err := exec.LookPath("promtool")
	if err != nil {
		pgtest.Missing(t, "promtool is not on this machine (Debian: apt-get install prometheus)")
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(file, rules, 0o600))
	out, err := exec.CommandContext(t.Context(), name, "check", "rules", file).CombinedOutput()
	if err != nil {
		t.Log(string(bytes.TrimSpace(out)))
	}
	return err
}
