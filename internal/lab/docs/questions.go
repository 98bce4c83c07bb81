package docs

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

var (
	questionsHeading = regexp.MustCompile(`(?m)^## Find it quickly\n((?s:.*?))(?:^## |\z)`)
	questionRow      = regexp.MustCompile(`^\| (.+) \| (.+) \|$`)
	onlyLink         = regexp.MustCompile(`^\[[^\]]+\]\(([^)]+)\)$`)
)

// Question is a row of the list of questions.
type Question struct {
	Text   string
	Target string // of the link to the reply
}

// CheckQuestions reads the list of questions of a page. Each row is a question and one link to a heading of another page,
// which [CheckLinks] follows, and no question is there twice.
func CheckQuestions(path string, source []byte) (questions []Question, problems []Problem) {
	section := questionsHeading.FindSubmatchIndex(source)
	if section == nil {
		return nil, []Problem{{path, 1, "page has no list of questions"}}
	}
	line := 1 + strings.Count(string(source[:section[2]]), "\n")
	seen := map[string]bool{}

	for i, text := range strings.Split(string(source[section[2]:section[3]]), "\n") {
		row := questionRow.FindStringSubmatch(text)
		if len(row) == 0 || row[1] == "question" {
			continue
		}
		problem := func(format string, args ...any) {
			problems = append(problems, Problem{path, line + i, fmt.Sprintf(format, args...)})
		}
		question := Question{Text: row[1]}
		if !strings.HasSuffix(question.Text, "?") {
			problem("not a question: %s", question.Text)
		}
		if seen[question.Text] {
			problem("question is there twice: %s", question.Text)
		}
		seen[question.Text] = true

		link := onlyLink.FindStringSubmatch(row[2])
		if link == nil {
			problem("reply is not one link: %s", row[2])
			continue
		}
		question.Target = link[1]
		if u, err := url.Parse(question.Target); err != nil || u.Scheme != "" || u.Path == "" || u.Fragment == "" {
			problem("reply is not a heading of another page: %s", question.Target)
		}
		questions = append(questions, question)
	}
	return questions, problems
}
