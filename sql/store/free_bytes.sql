-- Bytes of pages that hold nothing; what is written next is put there.
SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size;
