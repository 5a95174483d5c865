;; The fast pass over an L2 table of standard entries ("Cluster mapping" in the specification): the same judgement as
;; that of decodeL2Entry, for two entries at a time and without a branch for each.
;;
;; `npm run kernel` writes it into l2-kernel-code.ts; the tests see to it that this was done.

(module
  ;; The table, and the arrays that receive the answer.
  (import "scan" "memory" (memory 1))

  ;; Returns 1 when every entry is plain; 0 when one is compressed, has reserved bits, or names a place that is unaligned
  ;; or past the last host cluster. Lengths are such that every array ends with a whole 64-bit word.
  (func (export "scan")
    (param $table i32)        ;; address of the table as stored, a multiple of 8 entries
    (param $tableEnd i32)     ;; address behind it
    (param $held i32)         ;; address of one bit for each entry: receives what the image itself holds
    (param $referenced i32)   ;; address of one bit for each host cluster: receives what entries name
    (param $clusterBits i32)
    (param $lastCluster i32)  ;; number of the last host cluster, unsigned
    (result i32)

    (local $oddBits v128)     ;; bits that no plain entry has
    (local $last v128)        ;; the last host cluster, twice, as are all the vectors
    (local $odd v128)         ;; not zero once an entry was not plain
    (local $entries v128)
    (local $clusters v128)
    (local $beyond v128)
    (local $bits i32)         ;; bits of $held for the present eight entries
    (local $shift i32)        ;; which of the eight is next
    (local $named i64)        ;; host cluster that the entry names, or 0: the header, which is in use anyway
    (local $cluster i64)      ;; the host cluster that was named last
    (local $word i64)         ;; the present word of $referenced
    (local $mask i64)         ;; what is to be added to it: entries in a row mostly fall into one word
    (local $at i32)

    (local.set $last (i64x2.splat (i64.extend_i32_u (local.get $lastCluster))))
    ;; Bit 62 is a compressed cluster; bits 56…61 and 1…8 are reserved; so are offset bits below the cluster size.
    (local.set $oddBits
      (i64x2.splat
        (i64.or
          (i64.const 0x7f000000000001fe)
          (i64.and
            (i64.const 0x00fffffffffffe00)
            (i64.sub (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $clusterBits))) (i64.const 1))))))

    (loop $byte
      (local.set $bits (i32.const 0))
      (local.set $shift (i32.const 0))
      (loop $pair
        ;; Entries are stored big-endian.
        (local.set $entries (v128.load (local.get $table)))
        (local.set $entries
          (i8x16.shuffle 7 6 5 4 3 2 1 0 15 14 13 12 11 10 9 8 (local.get $entries) (local.get $entries)))

        ;; Held is what has a host cluster, or the zero flag.
        (local.set $bits
          (i32.or
            (local.get $bits)
            (i32.shl
              (i64x2.bitmask
                (i64x2.ne
                  (v128.and (local.get $entries) (v128.const i64x2 0x00fffffffffffe01 0x00fffffffffffe01))
                  (v128.const i64x2 0 0)))
              (local.get $shift))))

        (local.set $clusters
          (i64x2.shr_u
            (v128.and (local.get $entries) (v128.const i64x2 0x00fffffffffffe00 0x00fffffffffffe00))
            (local.get $clusterBits)))
        (local.set $beyond (i64x2.gt_s (local.get $clusters) (local.get $last)))
        (local.set $odd
          (v128.or
            (local.get $odd)
            (v128.or (local.get $beyond) (v128.and (local.get $entries) (local.get $oddBits)))))
        ;; What is past the last cluster has no bit in $referenced.
        (local.set $clusters (v128.andnot (local.get $clusters) (local.get $beyond)))

        (local.set $named (i64x2.extract_lane 0 (local.get $clusters)))
        (local.set $cluster
          (select (local.get $named) (local.get $cluster) (i64.ne (local.get $named) (i64.const 0))))
        (if (i64.ne (i64.shr_u (local.get $cluster) (i64.const 6)) (local.get $word))
          (then
            (local.set $at
              (i32.add (local.get $referenced) (i32.wrap_i64 (i64.shl (local.get $word) (i64.const 3)))))
            (i64.store (local.get $at) (i64.or (i64.load (local.get $at)) (local.get $mask)))
            (local.set $word (i64.shr_u (local.get $cluster) (i64.const 6)))
            (local.set $mask (i64.const 0))))
        (local.set $mask (i64.or (local.get $mask) (i64.shl (i64.const 1) (local.get $cluster))))

        ;; The same for the second entry.
        (local.set $named (i64x2.extract_lane 1 (local.get $clusters)))
        (local.set $cluster
          (select (local.get $named) (local.get $cluster) (i64.ne (local.get $named) (i64.const 0))))
        (if (i64.ne (i64.shr_u (local.get $cluster) (i64.const 6)) (local.get $word))
          (then
            (local.set $at
              (i32.add (local.get $referenced) (i32.wrap_i64 (i64.shl (local.get $word) (i64.const 3)))))
            (i64.store (local.get $at) (i64.or (i64.load (local.get $at)) (local.get $mask)))
            (local.set $word (i64.shr_u (local.get $cluster) (i64.const 6)))
            (local.set $mask (i64.const 0))))
        (local.set $mask (i64.or (local.get $mask) (i64.shl (i64.const 1) (local.get $cluster))))

        (local.set $table (i32.add (local.get $table) (i32.const 16)))
        (local.set $shift (i32.add (local.get $shift) (i32.const 2)))
        (br_if $pair (i32.lt_u (local.get $shift) (i32.const 8))))
      (i32.store8 (local.get $held) (local.get $bits))
      (local.set $held (i32.add (local.get $held) (i32.const 1)))
      (br_if $byte (i32.lt_u (local.get $table) (local.get $tableEnd))))

    (local.set $at (i32.add (local.get $referenced) (i32.wrap_i64 (i64.shl (local.get $word) (i64.const 3)))))
    (i64.store (local.get $at) (i64.or (i64.load (local.get $at)) (local.get $mask)))
    (i32.eqz (v128.any_true (local.get $odd)))))
