package readme_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

const (
	root     = "../../.."
	patience = 30 * time.Second
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// program is the one Go block of the README.
func program(t *testing.T) string {
	t.Helper()
	blocks := strings.Split(read(t, "README.md"), "```go\n")
	require.Len(t, blocks, 2, "one program")
	code, _, closed := strings.Cut(blocks[1], "```")
	require.True(t, closed)
	return code
}

// TestReadmeIsShort: the rest belongs into docs. The program has at most 50 lines, not counting blank ones, and equals
// examples/quickstart.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, strings.Count(read(t, "README.md"), "\n"), 230)
	code, lines := program(t), 0
	for line := range strings.Lines(code) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	require.LessOrEqual(t, lines, 50)
	require.Equal(t, read(t, "examples/quickstart/main.go"), code)
}

// TestReadmeLinks: every file that the README names exists.
func TestReadmeLinks(t *testing.T) {
	t.Parallel()
	found := 0
	for _, rest := range strings.Split(strings.Replace(read(t, "README.md"), program(t), "", 1), "](")[1:] {
		target, _, _ := strings.Cut(rest, ")")
		if strings.Contains(target, "://") {
			continue
		}
		found++
		_, err := os.Stat(filepath.Join(root, target))
		require.NoError(t, err)
	}
	require.Greater(t, found, 10)
}

// TestReadmeProgram copies the program from the README into an empty folder, as a reader does: it creates its schema, two
// pods run, a change on one is read on the other, and both end on a signal.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte(program(t)), 0o600))
	checkout, err := filepath.Abs(root)
	require.NoError(t, err)
	goIn(t, folder, "mod", "init", "hello")
	goIn(t, folder, "mod", "edit", "-replace=github.com/pgcoherence/pgcoherence="+checkout,
		"-require=github.com/pgcoherence/pgcoherence@v0.0.0")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.sum"), []byte(read(t, "go.sum")), 0o600)) // spares the checksum database
	goIn(t, folder, "build", "-mod=mod", "-o", "hello", ".")

	dsn := pgtest.New(t, nil).DSN
	binary := filepath.Join(folder, "hello")
	early := command(t, binary, dsn)
	out, err := early.CombinedOutput()
	require.Error(t, err, "there is no schema yet")
	require.Contains(t, string(out), "schema")
	for range 2 {
		out, err = command(t, binary, dsn, "migrate").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}

	a, b := startPod(t, binary, dsn), startPod(t, binary, dsn)
	for _, name := range []string{"Ada", "Grace", "Edsger"} {
		require.Contains(t, a.send(t, http.MethodPut, "/42/"+name), "saved")
		require.Contains(t, a.send(t, http.MethodGet, "/42"), name, "read your writes")
		require.Eventually(t, func() bool { return strings.Contains(b.send(t, http.MethodGet, "/42"), name) }, patience, time.Millisecond)
	}
	a.end(t)
	b.end(t)
}

func goIn(t *testing.T, folder string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Dir = folder
	c.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "go %v: %s", args, out)
}

func command(t *testing.T, binary, dsn string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	return c
}

// pod is one process of the program.
type pod struct {
	cmd *exec.Cmd
	url string
}

func startPod(t *testing.T, binary, dsn string) *pod {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	p := &pod{command(t, binary, dsn), "http://" + address}
	p.cmd.Env = append(p.cmd.Env, "ADDR="+address)
	p.cmd.Stderr = t.Output()
	require.NoError(t, p.cmd.Start())
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond)
	return p
}

func (p *pod) send(t *testing.T, method, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, http.NoBody)
	require.NoError(t, err)
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

func (p *pod) end(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.cmd.Wait(), "a graceful end")
}
