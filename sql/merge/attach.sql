ATTACH :file AS input;
