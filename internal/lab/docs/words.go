package docs

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var (
	listHeading = regexp.MustCompile(`(?m)^## Words that are not used\n((?s:.*?))(?:^## |\z)`)
	listItem    = regexp.MustCompile(`(?m)^\| ([^|]+?) \| [^|]+ \|$`)
)

// ListedWords returns the words of the first column of a glossary's table of words that are not used.
func ListedWords(glossary []byte) []string {
	section := listHeading.FindSubmatch(glossary)
	if section == nil {
		return nil
	}

	var words []string
	for i, match := range listItem.FindAllSubmatch(section[1], -1) {
		if i == 0 || strings.HasPrefix(string(match[1]), "-") {
			continue // the header of the table
		}
		for word := range strings.SplitSeq(string(match[1]), ", ") {
			words = append(words, word)
		}
	}

	return words
}

// CheckWords returns where a page uses words that are not used.
func CheckWords(page *Page, words []string) []Problem {
	if len(words) == 0 {
		return nil
	}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = regexp.QuoteMeta(word)
	}
	pattern := regexp.MustCompile(`(?i)\b(?:` + strings.Join(quoted, "|") + `)\b`)

	var problems []Problem
	for _, span := range page.Prose {
		for _, word := range pattern.FindAllString(span.Text, -1) {
			problems = append(problems, Problem{page.Path, span.Line, "word that the glossary says is not used: " + word})
		}
	}
	return problems
}

// CheckSVG returns an error unless an image is well-formed SVG with a title and with colours for light and dark pages.
func CheckSVG(content []byte) error {
	decoder := xml.NewDecoder(strings.NewReader(string(content)))
	var root string
	var title bool
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("SVG does not parse: %w", err)
		}

		if element, ok := token.(xml.StartElement); ok {
			if root == "" {
				root = element.Name.Local
			}
			title = title || element.Name.Local == "title"
		}
	}

	switch {
	case root != "svg":
		return fmt.Errorf("root element is %q, want svg", root)
	case !title:
		return errors.New("SVG has no title")
	case !strings.Contains(string(content), "prefers-color-scheme: dark"):
		return errors.New("SVG has no colours for dark pages")
	case strings.Contains(string(content), "<script"), strings.Contains(string(content), "http://www.w3.org/1999/xlink"):
		return errors.New("SVG has a script or a link")
	}

	return nil
}
