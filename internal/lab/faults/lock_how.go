package main

import "fmt"

// lockHow is how a lease is held: by one alone, by readers beside one another, or by up to so many holders of a semaphore.
type lockHow int

const (
	lockAlone   lockHow = 0
	lockReaders lockHow = -1
)

// beside reports whether one may hold a lease in the one way while others hold it in the other, if they are not too many.
func (h lockHow) beside(other lockHow) bool { return h == other && h != lockAlone }

// most is how many may hold a lease like that at once; 0: any number.
func (h lockHow) most() int {
	switch h {
	case lockAlone:
		return 1
	case lockReaders:
		return 0
	}
	return int(h)
}

func (h lockHow) String() string {
	switch h {
	case lockAlone:
		return "alone"
	case lockReaders:
		return "readers"
	}
	return fmt.Sprintf("semaphore of %d", int(h))
}
