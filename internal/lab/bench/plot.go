package main

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a picture. Charts of several panels are wider.
const (
	panelWidth  = 4.2 * vg.Inch
	alone       = 6.2 * vg.Inch // a panel without another beside it
	panelHeight = 3.6 * vg.Inch
	titleHeight = 0.55 * vg.Inch
	thumbnail   = 0.22 * vg.Inch
	margin      = 0.12 * vg.Inch
	dotsPerInch = 144
)

// Colours that people who see few colours can tell apart, after Okabe and Ito.
// The first is the library's, and nobody else's.
var (
	oursColour = color.NRGBA{0, 90, 200, 255}
	palette    = []color.NRGBA{
		{213, 94, 0, 255},
		{0, 158, 115, 255},
		{204, 121, 167, 255},
		{230, 159, 0, 255},
		{86, 180, 233, 255},
		{120, 120, 120, 255},
		{148, 103, 50, 255},
		{90, 60, 150, 255},
		{170, 170, 60, 255},
		{60, 60, 60, 255},
	}
	gridColour = color.NRGBA{225, 225, 225, 255}
	textColour = color.NRGBA{40, 40, 40, 255}
)

// plot draws the charts of all reports into a directory.
func (a *run) plot(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	for _, r := range a.Reports {
		for _, c := range r.Charts {
			if err := c.save(directory); err != nil {
				return fmt.Errorf("plot: %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

// save writes the chart as SVG and as PNG.
func (c chart) save(directory string) error {
	if err := c.saveSVG(directory); err != nil {
		return err
	}
	width, height := c.size()
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dotsPerInch))}
	picture, err := c.picture(png)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, c.Name+".png"), picture, 0o644)
}

// saveSVG writes the chart as SVG alone.
func (c chart) saveSVG(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	width, height := c.size()
	picture, err := c.picture(vgsvg.New(width, height))
	if err != nil {
		return err
	}

	// Programs that read pages aloud say what a picture is of.
	head := []byte("xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n")
	title := slices.Concat(head, []byte("<title>"+html.EscapeString(c.Title)+"</title>\n"))
	picture = bytes.Replace(picture, head, title, 1)
	return os.WriteFile(filepath.Join(directory, c.Name+".svg"), picture, 0o644)
}

// picture draws on a canvas, and returns the file.
func (c chart) picture(canvas vg.CanvasWriterTo) ([]byte, error) {
	width, height := c.size()
	if err := c.draw(draw.NewCanvas(canvas, width, height)); err != nil {
		return nil, err
	}
	var picture bytes.Buffer
	if _, err := canvas.WriteTo(&picture); err != nil {
		return nil, err
	}
	return picture.Bytes(), nil
}

// size is that of the whole picture. Panels with a row for each of many labels are higher.
func (c chart) size() (width, height vg.Length) {
	width, height = 2*margin+c.legendWidth(), 2*margin+titleHeight
	tallest := panelHeight
	for _, p := range c.Panels {
		switch p.Kind {
		case kindDots:
			width += panelWidth + vg.Inch
			tallest = max(tallest, vg.Length(len(p.Labels))*0.3*vg.Inch+vg.Inch)
		case kindHeat:
			width += vg.Length(len(p.Labels))*0.95*vg.Inch + 1.9*vg.Inch
			tallest = max(vg.Length(len(p.Lines))*0.36*vg.Inch+0.9*vg.Inch, 2*vg.Inch)
		default:
			if width += panelWidth; len(c.Panels) == 1 {
				width += alone - panelWidth
			}
		}
	}

	width = max(width, style(13, textColour).Width(c.Title)+6*margin)
	return width, height + tallest
}

func (c chart) draw(canvas draw.Canvas) error {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Path())
	title := style(13, textColour)
	title.XAlign, title.YAlign = text.XLeft, text.YTop
	canvas.FillText(title, vg.Point{X: canvas.Min.X + 2*margin, Y: canvas.Max.Y - margin}, c.Title)

	names := c.names()
	area := draw.Crop(canvas, margin, -margin, margin, -margin-titleHeight)
	if !c.isHeat() {
		at := canvas.Max.X - canvas.Min.X - c.legendWidth()
		c.drawLegend(draw.Crop(canvas, at, -margin, margin, -margin-titleHeight), names)
		area = draw.Crop(area, 0, -c.legendWidth(), 0, 0)
	}

	plots := make([]*plot.Plot, len(c.Panels))
	for i, p := range c.Panels {
		var err error
		if plots[i], err = p.plot(names); err != nil {
			return err
		}
	}
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: 0.25 * vg.Inch}
	for i, one := range plot.Align([][]*plot.Plot{plots}, tiles, area)[0] {
		plots[i].Draw(one)
	}
	return nil
}

func (c chart) isHeat() bool { return len(c.Panels) > 0 && c.Panels[0].Kind == kindHeat }

// legendWidth is that of the longest name; cells need no legend.
func (c chart) legendWidth() vg.Length {
	if c.isHeat() {
		return 0
	}
	longest := vg.Length(0)
	for _, name := range c.names() {
		longest = max(longest, style(10, textColour).Width(name))
	}
	return longest + thumbnail + 3*margin
}

// names are those of all lines of all panels, each once: a name has the same colour everywhere.
func (c chart) names() (names []string) {
	for _, p := range c.Panels {
		for _, l := range p.Lines {
			if !slices.Contains(names, l.Name) {
				names = append(names, l.Name)
			}
		}
	}
	return names
}

// colourOf gives the library its own colour, and the others theirs in turn. A
// model has the colour of what it is a model of.
func colourOf(names []string, name string) color.NRGBA {
	if isOurs(name) {
		return oursColour
	}
	others := slices.DeleteFunc(slices.Clone(names), isOurs)
	return palette[slices.Index(others, name)%len(palette)]
}

func isOurs(name string) bool { return name == "ours" || name == "ours, fitted" }

func (c chart) drawLegend(canvas draw.Canvas, names []string) {
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.TextStyle = style(10, textColour)
	legend.ThumbnailWidth = thumbnail
	legend.Padding = 3
	for _, name := range names {
		if c.Panels[0].Kind == kindDots {
			legend.Add(name, &plotter.Scatter{GlyphStyle: glyph(names, name)})
			continue
		}
		legend.Add(name, &plotter.Line{LineStyle: lineStyle(names, series{Name: name, Dashed: c.dashed(name)})})
	}
	legend.Draw(canvas)
}

func (c chart) dashed(name string) bool {
	for _, p := range c.Panels {
		for _, l := range p.Lines {
			if l.Name == name {
				return l.Dashed
			}
		}
	}
	return false
}

func lineStyle(names []string, l series) draw.LineStyle {
	s := draw.LineStyle{Color: colourOf(names, l.Name), Width: 1.4}
	if isOurs(l.Name) {
		s.Width = 2.6
	}
	if l.Dashed {
		s.Dashes, s.Width = []vg.Length{5, 4}, 1.4
	}
	return s
}

// style is that of text.
func style(size font.Length, c color.Color) text.Style {
	f := font.From(plot.DefaultFont, size)
	f.Typeface, f.Variant = "Liberation", "Sans"
	return text.Style{Color: c, Font: f, Handler: plot.DefaultTextHandler}
}
