SELECT page_count FROM pragma_page_count;
