package status

import (
	"fmt"
	"io"
	"strings"
)

// Level is the severity of a finding.
type Level string

// The levels.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // it works, with a disadvantage
	LevelFail Level = "fail" // it does not work
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Says  string `json:"says"`           // one sentence
	Hint  string `json:"hint,omitempty"` // how to repair it
}

// Diagnosis is the result of [Doctor], in the order of the checks. It ends with a failed check that later checks
// depend on.
type Diagnosis struct {
	Findings []Finding `json:"findings"`
}

// Worst returns the worst level of all findings.
func (d Diagnosis) Worst() Level {
	worst := LevelOK
	for _, f := range d.Findings {
		if f.Level == LevelFail {
			return LevelFail
		}
		if f.Level == LevelWarn {
			worst = LevelWarn
		}
	}
	return worst
}

// WriteTo writes the findings as text, one per line, with hints below.
func (d Diagnosis) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "%-4s  %-12s %s\n", f.Level, f.Check, f.Says)
		if f.Hint != "" {
			fmt.Fprintf(&b, "%-19s-> %s\n", "", f.Hint)
		}
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (d *Diagnosis) note(check string, level Level, hint, says string, args ...any) {
	d.Findings = append(d.Findings, Finding{Check: check, Level: level, Says: fmt.Sprintf(says, args...), Hint: hint})
}

func (d *Diagnosis) ok(check, says string, args ...any) { d.note(check, LevelOK, "", says, args...) }
