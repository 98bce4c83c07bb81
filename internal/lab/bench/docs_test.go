package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const checkout = "../../.."

// TestDocumentation: docs/performance.md, the README's figures and the pictures are what docs/performance.json says.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	all, err := readRun(filepath.Join(checkout, figuresFile))
	require.NoError(t, err)
	require.NotEmpty(t, all.Command)
	require.NotZero(t, all.Date)
	require.NotEqual(t, machine{}, all.Machine)
	require.NotEmpty(t, all.Versions["Postgres"])

	pages, err := all.pages(checkout)
	require.NoError(t, err)
	require.Len(t, pages, 2)

	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(checkout, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got), "%s is not what %s says: run the command in the README's comment", name, figuresFile)
	}

	drawn := t.TempDir()
	require.NoError(t, all.drawSVG(drawn))
	require.Equal(t, contents(t, drawn), contents(t, filepath.Join(checkout, imagesDirectory)))
}

// TestDocumentationFollows: with another figure the page and the README are others.
func TestDocumentationFollows(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"write.2ms.32.ours", "delay.p50_ms"} {
		all, err := readRun(filepath.Join(checkout, figuresFile))
		require.NoError(t, err)
		before, err := all.pages(checkout)
		require.NoError(t, err)

		changed := 0
		for _, r := range all.Reports {
			for i := range r.Figures {
				if r.Figures[i].Name == name {
					r.Figures[i].Value *= 2
					changed++
				}
			}
			for i := range r.Results {
				if r.Results[i].Name == name {
					r.Results[i].Value *= 2
					changed++
				}
			}
		}
		require.Positive(t, changed, name)

		after, err := all.pages(checkout)
		require.NoError(t, err)
		require.NotEqual(t, before[readmeFile], after[readmeFile], name)
	}
}

// contents are the files of a directory, by name.
func contents(t *testing.T, directory string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(directory)
	require.NoError(t, err)

	found := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(directory, f.Name()))
		require.NoError(t, err)
		found[f.Name()] = string(text)
	}

	return found
}
