package docs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/docs"
)

// TestQuestions: each question of docs/README.md leads to a heading that exists.
func TestQuestions(t *testing.T) {
	t.Parallel()
	r, pages := open(t)
	source, err := r.Read("docs/README.md")
	require.NoError(t, err)
	questions, problems := docs.CheckQuestions("docs/README.md", source)
	require.Empty(t, list(problems))
	require.GreaterOrEqual(t, len(questions), 20)

	// The links are those of the page, so that TestLinks follows each.
	linked := map[string]bool{}
	for _, page := range pages {
		if page.Path == "docs/README.md" {
			for _, link := range page.Links {
				linked[link.Target] = true
			}
		}
	}
	for _, question := range questions {
		require.True(t, linked[question.Target], question.Text)
	}
}

// TestBadQuestions: what can be wrong with the list is found.
func TestBadQuestions(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		"":                                          "",
		"| Where? | [Here](a.md#b) |":               "",
		"| Somewhere | [Here](a.md#b) |":            "not a question",
		"| Where? | here |":                         "not one link",
		"| Where? | [a](a.md#b), [b](b.md#c) |":     "not one link",
		"| Where? | [Here](a.md) |":                 "not a heading",
		"| Where? | [Here](#b) |":                   "not a heading",
		"| Where? | [Here](https://a.example/#b) |": "not a heading",
		"| Where? | [Here](a.md#b) |\n| Where? | [There](a.md#c) |": "twice",
	} {
		_, problems := docs.CheckQuestions("p.md", []byte("# Page\n\n## Find it quickly\n\n| question | reply |\n|---|---|\n"+row+"\n\n## More\n\n| not | this |\n"))
		if want == "" {
			require.Empty(t, list(problems), row)
			continue
		}
		require.Len(t, problems, 1, row)
		require.Contains(t, problems[0].Text, want)
	}
	_, problems := docs.CheckQuestions("p.md", []byte("# Page\n"))
	require.Len(t, problems, 1)
}
