package main

import "math"

// chart is a picture of a report's figures. Its data is a part of the report, so
// that it can be drawn from the file of -json alone.
type chart struct {
	Name   string  `json:"name"` // of its files
	Title  string  `json:"title"`
	Panels []panel `json:"panels"` // beside each other
}

// Kinds of panels.
const (
	kindLines = "lines" // y over x
	kindSteps = "steps" // the part of all values up to x, of sorted values
	kindDots  = "dots"  // a row for each label, and a dot in it for each line
	kindHeat  = "heat"  // a row for each line, and a coloured cell for each label; negative: none
)

// panel is one pair of axes.
type panel struct {
	Kind   string   `json:"kind"`
	Title  string   `json:"title,omitempty"`
	X      string   `json:"x,omitempty"`
	Y      string   `json:"y,omitempty"`
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Labels []string `json:"labels,omitempty"`
	Lines  []series `json:"lines"`
}

// series is what one variant contributes to a panel.
type series struct {
	Name   string    `json:"name"`
	X      []float64 `json:"x,omitempty"`
	Y      []float64 `json:"y"`
	Dashed bool      `json:"dashed,omitempty"` // computed and not measured
}

func (r *report) chart(c chart) { r.Charts = append(r.Charts, c) }

// cdfPoints is how many points of a distribution are kept.
const cdfPoints = 60

// cdf is the distribution of values, thinned out: dense in both tails, where it matters.
func cdf(name string, values []float64) series {
	l := series{Name: name}
	for i := range cdfPoints {
		// From 0 to 100 per cent along a curve that is flat at both ends.
		p := 50 * (1 - math.Cos(math.Pi*float64(i)/(cdfPoints-1)))
		l.X = append(l.X, rounded4(percentile(values, p)))
		l.Y = append(l.Y, rounded4(p))
	}
	return l
}

// rounded4 keeps four digits: charts need no more, and files stay small.
func rounded4(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
