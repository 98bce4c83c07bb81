package docs

import (
	"path"
	"regexp"
	"strings"
)

var (
	goName    = regexp.MustCompile(`^[*&]?([a-z]\w*)\.([A-Z]\w*(?:\.[A-Z]\w*)?)(?:[\[({].*)?$`)
	camelName = regexp.MustCompile(`^([A-Z]\w*[a-z]\w*)(?:\.([A-Z]\w*))?(?:[\[({].*)?$`)
	testName  = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)[A-Z_]\w*$`)
	alertName = regexp.MustCompile(`^Pgcoherence[A-Z]\w*$`)
	wordName  = regexp.MustCompile(`^[a-zA-Z0-9]+(?:[-_][a-zA-Z0-9]+)+$`)
	fileName  = regexp.MustCompile(`^[\w.*/@-]+$`)
	fileExt   = regexp.MustCompile(`\.(?:go|md|sql|psql|py|java|ya?ml|json|svg|mod|sum|sh|toml)$`)
)

// CheckSpans returns the names in code type that do not exist. Foreign names are not checked.
func CheckSpans(r *Repository, commands *Commands, foreign map[string]bool, page *Page) []Problem {
	checker := spanChecker{r: r, commands: commands, foreign: foreign, page: page}
	var problems []Problem
	for _, span := range page.Spans {
		if text := checker.check(strings.TrimSpace(span.Text)); text != "" {
			problems = append(problems, Problem{page.Path, span.Line, text})
		}
	}
	return problems
}

type spanChecker struct {
	r        *Repository
	commands *Commands
	foreign  map[string]bool
	page     *Page
}

// check returns what is wrong with a piece of inline code, "" if nothing is.
func (c *spanChecker) check(text string) string {
	first, _, several := strings.Cut(text, " ")
	switch {
	case c.foreign[text], c.foreign[first]:
		return ""
	case several:
		return c.commands.Check(text)
	case testName.MatchString(text):
		return missing(c.r.names().tests[text] || c.r.names().any[text], "no test is called", text)
	case alertName.MatchString(text):
		return missing(c.r.Mentions("alert: "+text), "no alert is called", text)
	case c.isPath(text):
		return missing(c.hasPath(text), "no file is called", text)
	}

	if match := goName.FindStringSubmatch(text); match != nil {
		return c.checkGoName(match[1], match[2], text)
	}
	if match := camelName.FindStringSubmatch(text); match != nil {
		known := c.r.names().any[match[1]] && (match[2] == "" || c.r.names().any[match[2]])
		// A name that is exported nowhere may be a control of the fault matrix, or a type of a program.
		return missing(known || match[2] == "" && c.r.Mentions(match[1]), "nothing is called", text)
	}
	if wordName.MatchString(text) {
		return missing(c.r.Mentions(text), "no source mentions", text)
	}
	return ""
}

// checkGoName checks pkg.Name and pkg.Type.Member. The part before the dot may also be a variable; then some type must have
// the member.
func (c *spanChecker) checkGoName(pkg, name, text string) string {
	index := c.r.names()
	if _, ok := index.packages[pkg]; ok {
		return missing(index.has(pkg, name), "no package has", text)
	}
	if c.foreign[pkg+"."] {
		return ""
	}
	first, _, _ := strings.Cut(name, ".")
	return missing(index.any[first], "no type has the method or field of", text)
}

// isPath reports whether a text looks like a path within the repository.
func (c *spanChecker) isPath(text string) bool {
	if !fileName.MatchString(text) || strings.HasPrefix(text, "/") { // that is a path of HTTP, or of another machine
		return false
	}
	first, _, nested := strings.Cut(strings.TrimPrefix(text, "./"), "/")
	extension := fileExt.FindString(text)
	return extension != "" && extension != text || nested && c.r.Has(first)
}

// hasPath looks from the root, from the page's directory, and for a bare file name or a pattern of one anywhere.
func (c *spanChecker) hasPath(text string) bool {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "./"), "/")
	if c.r.Glob(text) || c.r.Glob(path.Join(path.Dir(c.page.Path), text)) {
		return true
	}
	if strings.Contains(text, "*") {
		return c.r.Glob("*/" + text)
	}
	if strings.Contains(text, "/") {
		return false
	}

	for name := range c.r.files {
		if path.Base(name) == text {
			return true
		}
	}

	return false
}

func missing(found bool, what, text string) string {
	if found {
		return ""
	}
	return what + " " + text
}
