package main

import "strconv"

// lockShape is that of rows about leases.
var lockShape = &shape{
	names:  []string{"fault", "operations checked", "grants", "writes", "no mutex", "lost", "overlap (ms)", "granted again (ms)"},
	widths: []int{26, 20, 8, 8, 10, 6, 14, 20},
}

func (l *lockResult) cells(r result) []string {
	return []string{
		r.name, strconv.Itoa(l.checked), strconv.Itoa(l.granted), strconv.Itoa(l.writes), strconv.Itoa(l.disorder + l.together),
		strconv.Itoa(l.lost + l.order), strconv.FormatInt(l.overlap.claim.Milliseconds(), 10), strconv.FormatInt(r.live.Milliseconds(), 10),
	}
}
