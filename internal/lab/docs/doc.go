// Package docs checks the project's documentation. Its tests read every Markdown page of the repository and check:
//
//   - links: each relative link leads to a file, and each anchor to a heading. Each page under docs can be reached from
//     docs/README.md.
//   - code: a Go block compiles, alone if it is a whole file, else within a preamble. SQL and shell blocks run against a
//     Postgres of their own. YAML, JSON and PromQL parse.
//   - names: each path, Go name, test, fault, environment variable, metric, alert, make target and command that a page
//     mentions in code type exists.
//   - tables: each row has as many cells as the header, so that nothing is cut off.
//   - words: docs use none of the words that docs/glossary.md lists as not used.
//   - images: SVG files are well-formed, have a title, and colours for light and dark pages.
//
// A comment before a block changes how it is checked:
//
//	<!-- docs: preamble NAME -->      the Go block is compiled with testdata/preamble/NAME.go
//	<!-- docs: not run: REASON -->    the shell or SQL block is only parsed
//	<!-- docs: fails -->              the shell or SQL block has to fail
//
// Words in code type that are names of other projects are listed in testdata/foreign.txt.
//
// Each check is also run on pages in testdata/bad, in which it has to find something.
package docs
