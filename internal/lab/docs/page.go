package docs

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Page is a parsed Markdown page.
type Page struct {
	Path    string // from the root of the repository
	Anchors map[string]bool
	Links   []Link
	Spans   []Span
	Blocks  []Block
	Prose   []Span // text outside of code
}

// Link is a link or an image of a page.
type Link struct {
	Line   int
	Target string
}

// Span is a piece of text of a page: code within a line, or prose.
type Span struct {
	Line int
	Text string
}

// Block is a fenced block of code.
type Block struct {
	Line     int
	Language string
	Text     string
	Marks    []string // of the comments before it, without "docs:"
}

// Mark returns the rest of the mark that begins with word, and whether there is one.
func (b Block) Mark(word string) (rest string, ok bool) {
	for _, mark := range b.Marks {
		if rest, ok = strings.CutPrefix(mark, word); ok {
			return strings.TrimSpace(strings.TrimPrefix(rest, ":")), true
		}
	}
	return "", false
}

// Problem is a mistake on a page.
type Problem struct {
	Page string
	Line int
	Text string
}

// String returns the problem in the form that editors understand.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Page, p.Line, p.Text) }

var (
	markPattern = regexp.MustCompile(`<!--\s*docs:\s*(.*?)\s*-->`)
	htmlLink    = regexp.MustCompile(`(?i)\b(?:href|src|srcset)="([^"]*)"`)
	htmlAnchor  = regexp.MustCompile(`(?i)\b(?:id|name)="([^"]*)"`)
)

// Parse reads a Markdown page.
func Parse(path string, source []byte) *Page {
	page := &Page{Path: path, Anchors: map[string]bool{}}
	reader := pageReader{page: page, source: source, used: map[string]int{}}
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM))
	root := markdown.Parser().Parse(text.NewReader(source))
	// The walker returns no error, so neither does Walk.
	_ = ast.Walk(root, reader.visit)
	return page
}

// pageReader collects what a page consists of.
type pageReader struct {
	page   *Page
	source []byte
	used   map[string]int // how often a heading's anchor was there before
	marks  []string
	line   int // of the block that is being read
}

func (r *pageReader) visit(node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	if node.Type() == ast.TypeBlock {
		r.enterBlock(node)
	}

	switch node := node.(type) {
	case *ast.Heading:
		r.addAnchor(plainText(node, r.source))
	case *ast.FencedCodeBlock:
		r.page.Blocks = append(r.page.Blocks, Block{
			Line: r.line, Language: string(node.Language(r.source)), Text: lines(node, r.source), Marks: r.marks,
		})
		r.marks = nil
	case *ast.HTMLBlock:
		html := lines(node, r.source)
		if node.HasClosure() {
			html += string(node.ClosureLine.Value(r.source))
		}
		r.addHTML(html)
	case *ast.RawHTML:
		r.addHTML(string(node.Segments.Value(r.source)))
	case *ast.Link:
		r.page.Links = append(r.page.Links, Link{r.line, string(node.Destination)})
	case *ast.Image:
		r.page.Links = append(r.page.Links, Link{r.line, string(node.Destination)})
	case *ast.AutoLink:
		r.page.Links = append(r.page.Links, Link{r.line, string(node.URL(r.source))})
	case *ast.CodeSpan:
		r.page.Spans = append(r.page.Spans, Span{r.line, plainText(node, r.source)})
		return ast.WalkSkipChildren, nil
	case *ast.Text:
		r.page.Prose = append(r.page.Prose, Span{r.line + strings.Count(before(node, r.source), "\n"), string(node.Value(r.source))})
	}
	return ast.WalkContinue, nil
}

// enterBlock records the line of a block, and drops marks that no block of code followed.
func (r *pageReader) enterBlock(node ast.Node) {
	if node.Lines().Len() > 0 {
		r.line = 1 + strings.Count(string(r.source[:node.Lines().At(0).Start]), "\n")
	}
	switch node.(type) {
	case *ast.FencedCodeBlock, *ast.HTMLBlock:
	default:
		r.marks = nil
	}
}

func (r *pageReader) addAnchor(heading string) {
	anchor := Anchor(heading)
	n := r.used[anchor]
	r.used[anchor]++
	if n > 0 {
		anchor = fmt.Sprintf("%s-%d", anchor, n)
	}
	r.page.Anchors[anchor] = true
}

func (r *pageReader) addHTML(html string) {
	for _, match := range markPattern.FindAllStringSubmatch(html, -1) {
		r.marks = append(r.marks, match[1])
	}
	for _, match := range htmlLink.FindAllStringSubmatch(html, -1) {
		r.page.Links = append(r.page.Links, Link{r.line, match[1]})
	}
	for _, match := range htmlAnchor.FindAllStringSubmatch(html, -1) {
		r.page.Anchors[match[1]] = true
	}
}

// Anchor returns the anchor that GitHub gives a heading: lower case, without punctuation, spaces as hyphens.
func Anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return b.String()
}

// plainText returns the text of a node without its marks.
func plainText(node ast.Node, source []byte) string {
	var b strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		switch child := child.(type) {
		case *ast.Text:
			b.Write(child.Value(source))
			if child.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(child.Value)
		default:
			b.WriteString(plainText(child, source))
		}
	}

	return b.String()
}

// lines returns the text of a block.
func lines(node ast.Node, source []byte) string {
	var b strings.Builder
	for i := range node.Lines().Len() {
		segment := node.Lines().At(i)
		b.Write(segment.Value(source))
	}
	return b.String()
}

// before returns the part of a block before a text.
func before(node *ast.Text, source []byte) string {
	for parent := node.Parent(); parent != nil; parent = parent.Parent() {
		if parent.Type() == ast.TypeBlock && parent.Lines().Len() > 0 {
			return string(source[min(parent.Lines().At(0).Start, node.Segment.Start):node.Segment.Start])
		}
	}
	return ""
}
