package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Tone is the severity of a [Verdict]. The live page shows it as a color.
type Tone string

// The tones.
const (
	ToneOK   Tone = "ok"   // green: nothing to do
	ToneWarn Tone = "warn" // amber: it works, and needs attention
	ToneBad  Tone = "bad"  // red: caches are not trusted on some pod, or a pod is missing
)

// Verdict summarizes a Report in one sentence: the most serious fact, with the others as details.
type Verdict struct {
	Tone    Tone     `json:"tone"`
	Text    string   `json:"text"`
	Details []string `json:"details"` // further facts, the most serious first; never null
}

// resetLoop is how many resets within a minute count as a loop.
const resetLoop = 5

// judge is the only place that decides how serious a situation is. It is a function of the report alone.
func judge(r *Report) Verdict {
	facts := append(selfFacts(r), podFacts(r)...)

	verdict := Verdict{Tone: ToneOK, Text: inSync(r), Details: []string{}}
	for _, tone := range []Tone{ToneBad, ToneWarn} {
		for _, f := range facts {
			switch {
			case f.tone != tone:
			case verdict.Tone == ToneOK:
				verdict.Tone, verdict.Text = f.tone, f.text
				verdict.Details = append(verdict.Details, f.details...)
			default:
				verdict.Details = append(verdict.Details, f.text)
			}
		}
	}
	if r.Draining {
		verdict.Details = append(verdict.Details, "this pod is shutting down")
	}
	return verdict
}

// fact is one thing that is not as it should be.
type fact struct {
	tone    Tone
	text    string
	details []string // only of interest if this is the worst fact
}

// selfFacts are about the pod that makes the report, the most important first.
func selfFacts(r *Report) (facts []fact) {
	b := &r.Bus
	var cause []string
	if b.LastError != "" {
		cause = []string{b.LastError}
	}

	switch {
	case b.State == bus.Closed.String():
		facts = append(facts, fact{ToneBad, "This pod's bus has ended", cause})
	case !b.Fresh && r.PodsError != "":
		facts = append(facts, fact{ToneBad, "The database does not respond, and this pod does not trust its caches", append(cause, r.PodsError)})
	case !b.Fresh && b.FreshAgeSeconds == nil:
		facts = append(facts, fact{ToneBad, "This pod has not been in sync yet", cause})
	case !b.Fresh:
		facts = append(facts, fact{ToneBad, "This pod does not trust its caches", cause})
	case r.PodsError != "":
		facts = append(facts, fact{ToneWarn, "The list of pods cannot be read", []string{r.PodsError}})
	}

	if recent := recentResets(r); recent >= resetLoop {
		facts = append(facts, fact{ToneBad, fmt.Sprintf("This pod was reset %d times in a minute", recent), nil})
	}
	switch usage := b.QueueUsage; {
	case usage >= 0.5:
		facts = append(facts, fact{ToneBad, "The server's notification queue is " + percent(usage) + " full", []string{"status.Doctor names who holds it"}})
	case usage >= 0.1:
		facts = append(facts, fact{ToneWarn, "The server's notification queue is " + percent(usage) + " full", []string{"status.Doctor names who holds it"}})
	}
	for _, topic := range slices.Sorted(maps.Keys(r.Caches)) {
		if c := r.Caches[topic]; c.Type == "hybrid" && !c.RedisAvailable {
			facts = append(facts, fact{ToneWarn, fmt.Sprintf("The second level of the cache %s does not respond", topic), nil})
		}
	}
	return facts
}

func recentResets(r *Report) (n int) {
	for _, reset := range r.Bus.LastResets {
		if r.At.Sub(reset.At) < time.Minute {
			n++
		}
	}
	return n
}

// podFacts are about all pods of the cluster, this one included.
func podFacts(r *Report) (facts []fact) {
	var lost, replaced, stale, behind []Pod
	total := 0
	for _, p := range r.Pods {
		switch {
		case p.Condition == ConditionLost && p.ReplacedBy != "":
			replaced = append(replaced, p)
			continue // its successor counts
		case p.Condition == ConditionLost:
			lost = append(lost, p)
		case p.Condition == ConditionStale && !p.Self: // of itself this pod knows more
			stale = append(stale, p)
		case p.Condition == ConditionDegraded:
			behind = append(behind, p)
		case p.Condition == ConditionLeft:
			continue
		}
		total++
	}

	if n := len(lost); n > 0 {
		facts = append(facts, fact{ToneBad, fmt.Sprintf("%d of %s lost, and nothing took %s place", n, podsAre(total, n), choose(n, "its", "their")), namesOf(lost)})
	}
	if n := len(stale); n > 0 {
		facts = append(facts, fact{ToneBad, fmt.Sprintf("%d of %s not trusting %s caches", n, podsAre(total, n), choose(n, "its", "their")), namesOf(stale)})
	}
	if n := len(behind); n > 0 {
		facts = append(facts, fact{ToneWarn, fmt.Sprintf("%d of %s catching up or polling", n, podsAre(total, n)), namesOf(behind)})
	}
	if n := len(replaced); n > 0 {
		last := replaced[0]
		for _, p := range replaced {
			if p.BeatAgeSeconds < last.BeatAgeSeconds {
				last = p
			}
		}
		ago := time.Duration(last.BeatAgeSeconds) * time.Second
		facts = append(facts, fact{ToneWarn, fmt.Sprintf("%d %s crashed and %s replaced, the last one %v ago", n, choose(n, "pod", "pods"), choose(n, "was", "were"), ago), namesOf(replaced)})
	}
	return facts
}

// inSync is the text where there is nothing to report.
func inSync(r *Report) string {
	total := 0
	for _, p := range r.Pods {
		if p.Condition != ConditionLeft && p.Condition != ConditionLost {
			total++
		}
	}
	if total > 1 {
		return fmt.Sprintf("All %d pods are in sync", total)
	}
	return "In sync"
}

// podsAre is the middle of a sentence about n of total pods.
func podsAre(total, n int) string {
	return fmt.Sprintf("%d %s %s", total, choose(total, "pod", "pods"), choose(n, "is", "are"))
}

func choose(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// maxNames is how many pods a verdict names.
const maxNames = 6

func namesOf(pods []Pod) []string {
	var names []string
	for _, p := range pods[:min(len(pods), maxNames)] {
		names = append(names, p.Name)
	}
	text := strings.Join(names, ", ")
	if more := len(pods) - maxNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return []string{text}
}
