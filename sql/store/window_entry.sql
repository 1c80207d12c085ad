-- One expert's sums as load_window_block keeps them: reals to 15 digits.
SELECT json_array(:assignments, :dropped, :gate_sum, :probability_sum);
