package docs

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// ownBlob is how pages, alerts and programs name files of this repository from outside.
var ownBlob = regexp.MustCompile(`^https://github\.com/pgcoherence/pgcoherence/(?:blob|tree)/main/(.*)$`)

// CheckLinks returns the broken links of pages. Links to other sites are only parsed.
func CheckLinks(r *Repository, pages []*Page) []Problem {
	byPath := map[string]*Page{}
	for _, page := range pages {
		byPath[page.Path] = page
	}

	var problems []Problem
	for _, page := range pages {
		for _, link := range page.Links {
			if text := checkLink(r, byPath, page, link.Target); text != "" {
				problems = append(problems, Problem{page.Path, link.Line, text})
			}
		}
	}
	return problems
}

// checkLink returns what is wrong with a link, "" if nothing is.
func checkLink(r *Repository, pages map[string]*Page, page *Page, target string) string {
	if match := ownBlob.FindStringSubmatch(target); match != nil {
		target = "/" + match[1]
	}
	u, err := url.Parse(target)
	if err != nil {
		return "link does not parse: " + target
	}
	switch u.Scheme {
	case "":
	case "https", "mailto":
		return ""
	default:
		return "link with scheme " + u.Scheme + ": " + target
	}

	file := page.Path
	switch {
	case strings.HasPrefix(u.Path, "/"):
		file = strings.TrimPrefix(u.Path, "/")
	case u.Path != "":
		file = path.Join(path.Dir(page.Path), u.Path)
	}
	if !r.Has(file) {
		return "link leads to no file: " + target
	}
	if u.Fragment == "" {
		return ""
	}
	other, ok := pages[file]
	if !ok {
		return "link has an anchor, but its file is not a page: " + target
	}
	if !other.Anchors[u.Fragment] {
		return "link leads to no heading: " + target
	}
	return ""
}

// CheckReach returns the pages under a directory that no chain of links from its README.md reaches.
func CheckReach(pages []*Page, directory string) []Problem {
	byPath := map[string]*Page{}
	for _, page := range pages {
		byPath[page.Path] = page
	}

	reached := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		page, ok := byPath[name]
		if !ok || reached[name] {
			return
		}
		reached[name] = true
		for _, link := range page.Links {
			if u, err := url.Parse(link.Target); err == nil && u.Scheme == "" && u.Path != "" {
				walk(path.Join(path.Dir(name), u.Path))
			}
		}
	}
	walk(path.Join(directory, "README.md"))

	var problems []Problem
	for _, page := range pages {
		if strings.HasPrefix(page.Path, directory+"/") && !reached[page.Path] {
			problems = append(problems, Problem{page.Path, 1, "page is not linked from any page in " + directory})
		}
	}
	return problems
}
