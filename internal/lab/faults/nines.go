package main

import "math"

// confidence is how sure the bounds are.
const confidence = 0.95

// upperBound is the greatest share of failures with which so few among n would be seen with 5 % chance: the one-sided limit
// of Clopper and Pearson, by Poisson's limit of the binomial, which is the greater of the two. For none it is the rule of
// three, 3/n. It is 1 if nothing was seen.
func upperBound(failures, n int64) float64 {
	if n <= 0 {
		return 1
	}
	low, high := float64(failures), float64(failures)+10+10*math.Sqrt(float64(failures)+1)
	for range 200 {
		mean := (low + high) / 2
		if poissonAtMost(failures, mean) > 1-confidence {
			low = mean
		} else {
			high = mean
		}
	}
	return min(1, high/float64(n))
}

// poissonAtMost is the chance of at most k events when mean are expected.
func poissonAtMost(k int64, mean float64) float64 {
	sum := 0.0
	for i := int64(0); i <= k; i++ {
		lg, _ := math.Lgamma(float64(i) + 1)
		sum += math.Exp(float64(i)*math.Log(mean) - mean - lg)
	}
	return sum
}

// nines is how many nines there are in 1 - share.
func nines(share float64) float64 {
	if share >= 1 {
		return 0
	}
	return -math.Log10(share)
}
