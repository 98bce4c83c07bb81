package main

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// plot makes the axes and what is between them; names are those of the whole chart's lines.
func (p panel) plot(names []string) (*plot.Plot, error) {
	out := plot.New()
	out.BackgroundColor = color.Transparent
	out.Title.Text, out.Title.TextStyle = p.Title, centred(style(11, textColour))
	out.Title.Padding = 4
	for _, axis := range []*plot.Axis{&out.X, &out.Y} {
		axis.Label.TextStyle = centred(style(10, textColour))
		axis.Tick.Label.Font = style(9, textColour).Font
		axis.Tick.Label.Color = textColour
		axis.Width, axis.Tick.Width = 0, 0.5
		axis.Tick.Color = gridColour
		axis.Padding = 4
	}
	out.X.Label.Text, out.Y.Label.Text = p.X, p.Y

	switch p.Kind {
	case kindDots:
		return out, p.addDots(out, names)
	case kindHeat:
		p.addHeat(out)
		return out, nil
	default:
		return out, p.addLines(out, names)
	}
}

func centred(s text.Style) text.Style {
	s.XAlign, s.YAlign = text.XCenter, text.YBottom
	return s
}

// addLines draws lines over both axes, the library's last and so on top.
func (p panel) addLines(out *plot.Plot, names []string) error {
	p.addGrid(out)
	var ours []series

	draw := func(l series) error {
		if len(l.X) == 0 {
			return nil
		}

		points := make(plotter.XYs, 0, len(l.X))
		for i := range l.X {
			if (p.LogX && l.X[i] <= 0) || (p.LogY && l.Y[i] <= 0) {
				continue // has no place on such an axis
			}
			points = append(points, plotter.XY{X: l.X[i], Y: l.Y[i]})
		}

		if len(points) == 0 {
			return nil
		}

		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}

		line.LineStyle = lineStyle(names, l)
		out.Add(line)

		if p.Kind == kindLines && !l.Dashed {
			dots.GlyphStyle = glyph(names, l.Name)
			out.Add(dots)
		}

		return nil
	}
	for _, l := range p.Lines {
		if isOurs(l.Name) {
			ours = append(ours, l)
			continue
		}
		if err := draw(l); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
	}

	for _, l := range ours {
		if err := draw(l); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
	}

	p.scale(out)
	return nil
}

func (p panel) addGrid(out *plot.Plot) {
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridColour, gridColour
	grid.Horizontal.Width, grid.Vertical.Width = 0.6, 0.6
	out.Add(grid)
}

// scale sets the axes: logarithmic ones have ticks at 1, 2 and 5 of each power
// of ten, others begin at nothing.
func (p panel) scale(out *plot.Plot) {
	for axis, log := range map[*plot.Axis]bool{&out.X: p.LogX, &out.Y: p.LogY} {
		if !log {
			axis.Min = min(axis.Min, 0)
			axis.Tick.Marker = plot.TickerFunc(plainTicks)
			continue
		}

		axis.Scale = plot.LogScale{}
		axis.Tick.Marker = plot.TickerFunc(logTicks)
		if axis.Min > 0 && axis.Max/axis.Min < 1.5 {
			axis.Min, axis.Max = axis.Min/1.5, axis.Max*1.5
		}
	}

	if p.Kind == kindSteps {
		out.Y.Min, out.Y.Max = 0, 100
	}
	if !p.LogY {
		out.Y.Max += (out.Y.Max - out.Y.Min) * 0.03
	}
}

// plainTicks are about five, at round numbers.
func plainTicks(low, high float64) (ticks []plot.Tick) {
	if high <= low {
		return nil
	}

	power := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	step := power
	for _, factor := range []float64{1, 2, 2.5, 5, 10} {
		if step = factor * power; (high-low)/step <= 6 {
			break
		}
	}

	for i := math.Ceil(low/step - 1e-9); i*step <= high*(1+1e-9); i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: tickLabel(i * step)})
	}

	return ticks
}

// logTicks leaves out 2 and 5 where the axis spans many powers of ten.
func logTicks(low, high float64) (ticks []plot.Tick) {
	steps := []float64{1, 2, 5}
	switch powers := math.Log10(high / low); {
	case powers > 2.5:
		steps = []float64{1}
	case powers > 1.4:
		steps = []float64{1, 3}
	}

	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, step := range steps {
			v := step * math.Pow(10, power)
			if v >= low*0.999 && v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: tickLabel(v)})
			}
		}
	}

	return ticks
}

// tickLabel is short: 10k, 2M, 0.5.
func tickLabel(v float64) string {
	if v == 0 {
		return "0" // and not -0
	}

	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if math.Abs(v) >= unit.size {
			size := unit.size
			if unit.name == "k" {
				size = 1e3
			}
			return strconv.FormatFloat(v/size, 'g', 4, 64) + unit.name
		}
	}

	return strconv.FormatFloat(v, 'g', 4, 64)
}

// addDots draws a row for each label, from the top.
func (p panel) addDots(out *plot.Plot, names []string) error {
	for row := range p.Labels {
		rule, err := plotter.NewLine(plotter.XYs{{X: p.least(), Y: p.y(row)}, {X: p.most(), Y: p.y(row)}})
		if err != nil {
			return err
		}
		rule.Color, rule.Width = gridColour, 0.8
		out.Add(rule)
	}

	for i := range p.Lines {
		l := p.Lines[len(p.Lines)-1-i] // the first on top
		points := make(plotter.XYs, 0, len(l.Y))
		for row, v := range l.Y {
			points = append(points, plotter.XY{X: v, Y: p.y(row)})
		}

		dots, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}

		dots.GlyphStyle = glyph(names, l.Name)
		dots.Radius += 1.2
		out.Add(dots)
	}

	ticks := make([]plot.Tick, len(p.Labels))
	for row, label := range p.Labels {
		ticks[row] = plot.Tick{Value: p.y(row), Label: label}
	}

	out.Y.Tick.Marker = plot.ConstantTicks(ticks)
	out.X.Tick.Marker = plot.TickerFunc(plainTicks)
	out.Y.Min, out.Y.Max = -0.6, float64(len(p.Labels))-0.4
	out.X.Min, out.X.Max = p.least(), p.most()
	return nil
}

func (p panel) y(row int) float64 { return float64(len(p.Labels) - 1 - row) }

func (p panel) least() float64 { return 0 }

func (p panel) most() float64 {
	most := 0.0
	for _, l := range p.Lines {
		for _, v := range l.Y {
			most = max(most, v)
		}
	}
	return most * 1.04
}

func glyph(names []string, name string) draw.GlyphStyle {
	g := draw.GlyphStyle{Color: colourOf(names, name), Radius: 2.2, Shape: draw.CircleGlyph{}}
	if isOurs(name) {
		g.Radius = 3.2
	}
	return g
}

// heat draws cells with their values: white for none, and the darker the more,
// on a logarithmic scale.
type heat struct{ panel }

func (p panel) addHeat(out *plot.Plot) {
	out.Add(heat{p})
	columns, rows := make([]plot.Tick, len(p.Labels)), make([]plot.Tick, len(p.Lines))
	for i, label := range p.Labels {
		columns[i] = plot.Tick{Value: float64(i), Label: label}
	}
	for i, l := range p.Lines {
		rows[i] = plot.Tick{Value: float64(len(p.Lines) - 1 - i), Label: l.Name}
	}
	out.X.Tick.Marker, out.Y.Tick.Marker = plot.ConstantTicks(columns), plot.ConstantTicks(rows)
	out.X.Tick.Width, out.Y.Tick.Width = 0, 0
	out.X.Min, out.X.Max = -0.5, float64(len(p.Labels))-0.5
	out.Y.Min, out.Y.Max = -0.5, float64(len(p.Lines))-0.5
	out.X.Padding, out.Y.Padding = 0, 0
}

// Plot implements plot.Plotter.
func (h heat) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&canvas)
	most := h.most()
	label := style(10, textColour)
	label.XAlign, label.YAlign = text.XCenter, text.YCenter
	for row, l := range h.Lines {
		at := float64(len(h.Lines) - 1 - row)
		for column, v := range l.Y {
			cell := vg.Rectangle{
				Min: vg.Point{X: x(float64(column)-0.5) + 1, Y: y(at-0.5) + 1},
				Max: vg.Point{X: x(float64(column)+0.5) - 1, Y: y(at+0.5) - 1},
			}
			fill, words := heatCell(v, most)
			canvas.SetColor(fill)
			canvas.Fill(cell.Path())

			label.Color = textColour
			if fill.G < 110 {
				label.Color = color.White
			}

			canvas.FillText(label, vg.Point{X: (cell.Min.X + cell.Max.X) / 2, Y: (cell.Min.Y + cell.Max.Y) / 2}, words)
		}
	}
}

// heatCell is the colour and the text of a value.
func heatCell(v, most float64) (color.NRGBA, string) {
	switch {
	case v < 0:
		return color.NRGBA{240, 240, 240, 255}, "–"
	case v == 0:
		return color.NRGBA{214, 239, 220, 255}, "0"
	}
	part := math.Log1p(v) / math.Log1p(most)
	shade := func(from, to float64) uint8 { return uint8(from + (to-from)*part) }
	words := strconv.FormatFloat(v, 'f', -1, 64)
	if v >= 10_000 {
		words = tickLabel(math.Round(v/1000) * 1000)
	}
	return color.NRGBA{shade(254, 165), shade(224, 15), shade(210, 21), 255}, words
}
