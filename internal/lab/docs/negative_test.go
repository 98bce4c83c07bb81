package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/docs"
)

// wanted matches the comment in which a bad page names the expected problem: the check, and a part of the problem's text.
var wanted = regexp.MustCompile(`<!-- want (\w+): (.*) -->`)

// TestBadPages: each bad page has one problem. Its check finds it, and no other check finds anything.
func TestBadPages(t *testing.T) {
	t.Parallel()
	r, _ := open(t)
	commands, directory := program(t, r)
	files, err := filepath.Glob("testdata/bad/*.md")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)

	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			page := docs.Parse("docs/glossary.md", source) // under the path of an existing page
			match := wanted.FindStringSubmatch(string(source))
			require.NotNil(t, match, "the page has no want comment")

			found := map[string][]docs.Problem{
				"link":  docs.CheckLinks(r, []*docs.Page{page}),
				"span":  docs.CheckSpans(r, commands, map[string]bool{"pgx.": true}, page),
				"word":  docs.CheckWords(page, []string{"anew"}),
				"table": docs.CheckTables(page.Path, source),
				"block": runner(t, commands, directory).Check(t.Context(), page),
			}
			found["go"], err = docs.CheckGo(t.Context(), ".", []*docs.Page{page})
			require.NoError(t, err)
			for check, problems := range found {
				if check != match[1] {
					require.Empty(t, problems, "%s finds something in a page that is bad for %s", check, match[1])
					continue
				}
				require.Len(t, problems, 1, "%s", check)
				require.Contains(t, problems[0].Text, match[2])
			}
		})
	}
}

// TestUnreachablePage: a page that no other links to is found.
func TestUnreachablePage(t *testing.T) {
	t.Parallel()
	pages := []*docs.Page{
		docs.Parse("docs/README.md", []byte("[one](one.md)")),
		docs.Parse("docs/one.md", []byte("[back](README.md)")),
		docs.Parse("docs/two.md", []byte("[one](one.md)")),
	}
	problems := docs.CheckReach(pages, "docs")
	require.Len(t, problems, 1)
	require.Equal(t, "docs/two.md", problems[0].Page)
}

// TestBadPromQL: promtool rejects invalid PromQL.
func TestBadPromQL(t *testing.T) {
	t.Parallel()
	require.NoError(t, promtool(t, docs.Rules([]*docs.Page{docs.Parse("good.md", []byte("```promql\nsum(up)\n```\n"))})))
	require.Error(t, promtool(t, docs.Rules([]*docs.Page{docs.Parse("bad.md", []byte("```promql\nsum(up\n```\n"))})))
}

// TestBadImages: each way in which an image can be bad is found.
func TestBadImages(t *testing.T) {
	t.Parallel()
	const style = "<style>@media (prefers-color-scheme: dark) {}</style>"
	require.NoError(t, docs.CheckSVG([]byte("<svg><title>t</title>"+style+"</svg>")))
	for content, want := range map[string]string{
		"<svg><title>t</title>" + style:                             "does not parse",
		"<g><title>t</title>" + style + "</g>":                      "want svg",
		"<svg>" + style + "</svg>":                                  "no title",
		"<svg><title>t</title></svg>":                               "dark",
		"<svg><title>t</title>" + style + "<script></script></svg>": "script",
	} {
		require.ErrorContains(t, docs.CheckSVG([]byte(content)), want)
	}
}

// TestListedWords: the words are read from the glossary's own table, and from no other.
func TestListedWords(t *testing.T) {
	t.Parallel()
	words := docs.ListedWords([]byte("| word | meaning |\n|---|---|\n| pod | one |\n\n" +
		"## Words that are not used\n\n| not | but |\n|---|---|\n| anew, newly | again |\n| told | notified |\n\n## More\n\n| a | b |\n"))
	require.Equal(t, []string{"anew", "newly", "told"}, words)
}

// TestAnchor: headings get the anchors that GitHub gives them.
func TestAnchor(t *testing.T) {
	t.Parallel()
	for heading, anchor := range map[string]string{
		"From Set/Get/Delete to a coherent cache": "from-setgetdelete-to-a-coherent-cache",
		"What does `LISTEN` need?":                "what-does-listen-need",
		"Java_Script — and Go":                    "java_script--and-go",
		"G1, complete":                            "g1-complete",
	} {
		page := docs.Parse("p.md", []byte("# "+heading+"\n\n# "+heading+"\n"))
		require.True(t, page.Anchors[anchor], "%s: %v", heading, page.Anchors)
		require.True(t, page.Anchors[anchor+"-1"], "a second heading of the same text")
	}
}

// FuzzParse: Parse panics on no page, and a block's text is a part of its page.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"# a\n\n```go\nx\n```\n", "<!-- docs: not run: y -->\n```sh\nz\n```", "[a](b#c) `d` <a href=\"e\">", "> ```\n> a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		page := docs.Parse("docs/p.md", []byte(source))
		for _, block := range page.Blocks {
			for line := range strings.Lines(block.Text) {
				// A tab that belongs partly to a list becomes spaces, and NUL the replacement character.
				if text := strings.TrimLeft(strings.TrimRight(line, "\n"), " \t"); !strings.ContainsRune(source, 0) {
					require.Contains(t, source, text)
				}
			}
		}

		docs.CheckWords(page, []string{"anew"})
	})
}
