package readme_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// around makes a program of the README's example, which is the body of a function.
const around = `package main

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func example(ctx context.Context) error {
`

// TestExampleCompiles builds every Go block of the README.
func TestExampleCompiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```go\n")[1:]
	require.NotEmpty(t, blocks, "the README shows no code")
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "```")
		require.True(t, closed)
		out, err := build(t, around+code+"}\n\nfunc main() { _ = example(context.Background()) }\n")
		require.NoError(t, err, "%s", out)
	}
	_, err = build(t, around+"return notThere\n}\n\nfunc main() {}\n")
	require.Error(t, err, "the check itself can fail")
}

// TestReadmeIsShort: what does not fit belongs into the packages' documentation.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(text), "\n"), 230)
}

func build(t *testing.T, program string) ([]byte, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(program), 0o600))
	return exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file).CombinedOutput()
}
